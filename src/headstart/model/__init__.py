"""From pixels to features to a head: backbones, the probe, fine-tuning."""
