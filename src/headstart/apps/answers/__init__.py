"""Answers of a model for many files: as lines, in a file that grows as they come, gone on with after a crash."""
