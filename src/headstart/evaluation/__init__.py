"""Arithmetic on labels and probabilities: metrics and intervals. numpy and scipy.special only."""
