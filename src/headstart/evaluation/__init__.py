"""Metrics and intervals from labels and probabilities; uses numpy and scipy.special only."""
