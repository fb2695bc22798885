"""How long the parts of fine-tuning take on this machine, from seconds per image that were measured."""

from dataclasses import dataclass

from headstart.data.splits import Split
from headstart.model.pace import ANSWERING

FINETUNED_REFERENCES = 500  # images that pass through the trained network once more, to compare later images with
# Seconds to check and write a run. With 780 images it took 2 s on two cores, and 4 s while these were busy with other work.
WRITING = 4.0


@dataclass(frozen=True, slots=True)
class ImagesAfter:
    """How many images are used between training and writing: test, and those that later images are compared with."""

    read: int  # decoded again
    answered: int  # passed through the network

    @classmethod
    def of(cls, split: Split, *, refit: bool) -> "ImagesAfter":
        """The counts of a run with this split; a refitted network sees the training images once more."""
        unseen, known = min(len(split.val), FINETUNED_REFERENCES), min(len(split.train), FINETUNED_REFERENCES)
        read = len(split.test) + unseen
        return cls(read, read + known * (2 if refit else 1))


@dataclass(frozen=True, slots=True)
class SecondsPerImage:
    """Seconds per image."""

    decoding: float
    step: float  # its share of a training step

    @property
    def answer(self) -> float:
        """Seconds to predict a decoded image."""
        return ANSWERING * self.step


@dataclass(frozen=True, slots=True)
class Costs:
    """Estimated seconds of a run with gradient steps."""

    once: float  # besides its epochs and its writing
    epoch: float

    @classmethod
    def of(cls, split: Split, speed: SecondsPerImage, *, refit: bool) -> "Costs":
        """The costs of a run with this split."""
        n_train, n_val, after = len(split.train), len(split.val), ImagesAfter.of(split, refit=refit)
        once = (n_train + n_val + after.read) * speed.decoding + after.answered * speed.answer
        epoch = n_train * speed.step + n_val * speed.answer
        if refit:  # every step once more, on val too
            epoch += (n_train + n_val) * speed.step
        return cls(once, epoch)

    def run(self, epochs: int) -> float:
        """Seconds of a run with this many epochs, writing included."""
        return self.once + epochs * self.epoch + WRITING

    def epochs_within(self, seconds: float) -> float:
        """How many epochs of the run fit into these seconds."""
        return max(0.0, (seconds - self.once - WRITING) / self.epoch)
