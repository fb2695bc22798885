"""The only code that prints or parses argv."""
