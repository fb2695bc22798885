"""One module per command; each contains the function that typer turns into the command."""
