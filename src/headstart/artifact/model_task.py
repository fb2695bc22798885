"""What tasks of workers that use a saved model have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from headstart.artifact.predictor import Predictor
from headstart.storage import sha256_of_bytes


@dataclass(frozen=True, slots=True)
class ModelTask:
    """A task of workers with a saved model, which travels with it."""

    predictor: Predictor  # a pickle of it holds the files of its bundle
    key: str

    @classmethod
    def that(cls, computes: str, predictor: Predictor) -> Self:
        """The task that computes something with a model. Raises BundleError if it is not saved."""
        files = predictor.files()
        digests = [f"{name} {sha256_of_bytes(files[name])}" for name in sorted(files)]
        return cls(predictor, sha256_of_bytes("\n".join([computes, *digests]).encode()))

    @property
    def on_gpu(self) -> bool:
        """Whether its network runs on a GPU."""
        return self.predictor.extractor.on_gpu

    def packed(self) -> tuple[Self, Mapping[str, bytes]]:
        """Itself: it needs no files of home() on another machine."""
        return self, {}
