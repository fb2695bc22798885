"""Arithmetic on labels and probabilities: metrics and intervals. numpy and scikit-learn only."""
