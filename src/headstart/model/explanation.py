"""Where in a picture the model's answer comes from."""

from dataclasses import dataclass

import numpy as np

from headstart.data.images import DecodedImage
from headstart.data.preprocess import Preprocess
from headstart.errors import SettingsError
from headstart.model.activation_maps import ActivationMaps
from headstart.model.extractor import Extractor
from headstart.model.head import Head

SIDE = 28  # of the grid that is laid over a picture
WHAT_IT_SAYS = (
    "The marked places add most to {!r}, exactly as the model sums them up. They do not say what the model would answer if "
    "these places looked different, or whether it looks at the right thing for the right reason."
)

WHAT_A_NUMBER_SAYS = (
    "From {mean}, the mean of the training images, the orange places raise the number by {raised} and the blue ones lower it "
    "by {lowered}, exactly as the model sums them up{of_views}. They do not say what the model would answer if these places "
    "looked different, or whether it looks at the right thing for the right reason."
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each place of a picture adds to a class, beside the mean of all classes."""

    number: int  # the class
    shares: np.ndarray  # (SIDE, SIDE) float32, over the whole picture; 0 where the network sees nothing


@dataclass(frozen=True, slots=True)
class NumberExplanation:
    """What each place of a picture adds to the one output of a network: `raised` less `lowered` is the output for its view."""

    shares: np.ndarray  # (SIDE, SIDE) float32, over the whole picture; 0 where the network sees nothing
    raised: float  # by all places that add something
    lowered: float  # by all that take something away


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains the answers of a head on a network."""

    head: Head
    preprocess: Preprocess
    extractor: Extractor
    maps: ActivationMaps

    @classmethod
    def of(cls, head: Head, preprocess: Preprocess, extractor: Extractor) -> "Explainer":
        """The explainer of a model's parts. Raises SettingsError if the network's features have no places."""
        return cls(head, preprocess, extractor, maps_of(extractor))

    def explain(self, data: bytes, present: np.ndarray | None = None, number: int | None = None) -> Explanation:
        """The explanation of the answer for the bytes of an image file, in the first view that the network sees.

        `present` are the numbers of the classes that the head knows, if it does not know all; `number` is the class to explain,
        without it the most probable one. Raises UnreadableImage.
        """
        decoded = self.preprocess.decode(data)
        view = self.preprocess.view(decoded.seen)
        if number is None:
            number = int(self.head.logits(self.extractor.compute(view[None]))[0].argmax())
        known = self.head.weight if present is None else self.head.weight[present]
        shares = self.maps.shares(view, self.head.weight[number] - known.mean(axis=0))
        return Explanation(number, self._over_picture(shares, decoded))

    def explain_number(self, data: bytes) -> NumberExplanation:
        """The same where the head has one output, for the bytes of an image file. Raises UnreadableImage.

        The output is 0 for the mean of the training images' numbers, so each place gets an equal part of the bias: what looks
        like the mean of all training images adds nothing.
        """
        decoded = self.preprocess.decode(data)
        shares = self.maps.shares(self.preprocess.view(decoded.seen), self.head.weight[0])
        shares += self.head.bias[0] / shares.size
        raised, lowered = (float(np.maximum(part, 0).sum(dtype=np.float64)) for part in (shares, -shares))
        return NumberExplanation(self._over_picture(shares, decoded), raised, lowered)

    def _over_picture(self, shares: np.ndarray, decoded: DecodedImage) -> np.ndarray:
        return _over_picture(shares, self.preprocess, decoded.rgb.width, decoded.rgb.height)


def maps_of(extractor: Extractor) -> ActivationMaps:
    """The maps behind the features of an extractor. Raises SettingsError if there are none."""
    if extractor.graph is None:
        raise SettingsError(
            "the maps of this network are not at hand", hint="name the run or its model folder, and compute on the CPU"
        )
    return ActivationMaps.of(extractor.graph)


def _over_picture(shares: np.ndarray, preprocess: Preprocess, width: int, height: int) -> np.ndarray:
    """(SIDE, SIDE): the values of a view's grid where they lie in the whole picture."""
    across = down = 1.0  # the part of the picture that the view shows, in the middle
    if preprocess.view_name.startswith("crop"):
        side = min(width, height) * preprocess.size_px / preprocess.resize_px
        across, down = min(side / width, 1.0), min(side / height, 1.0)
    elif preprocess.view_name.startswith("pad"):
        across, down = max(width, height) / width, max(width, height) / height
    middle = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    height, width = shares.shape
    rows, columns = (np.floor((middle / part + 0.5) * n).astype(int) for part, n in ((down, height), (across, width)))
    inside = np.outer((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    found = shares[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))]
    return np.where(inside, found, 0).astype(np.float32)
