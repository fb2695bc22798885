"""What kinds of answers there are."""
