"""What leaves the machine: bundles, predictions, figures, the report."""
