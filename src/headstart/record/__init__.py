"""The record of a run: its folder, what is said of it, its files."""
