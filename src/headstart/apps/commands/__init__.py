"""One module a command; each holds the function that typer turns into it."""
