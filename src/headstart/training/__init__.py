"""The runs: a probe run, a fine-tune run, and the estimator that wraps them."""
