"""From a scanned data set to a fitted model: the choice of a strategy, the probe, fine-tuning."""
