"""A model's answers for many files: as lines, or in a file that grows with each answer and can be resumed after a crash."""
