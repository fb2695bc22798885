"""headstart: a folder of labelled images in, an image classifier you can trust out.

The public names are resolved on first use (PEP 562), so that `import headstart` loads no heavy package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headstart.privacy import switch_off_telemetry

__version__ = "0.1.0"

_HOME_OF = {
    "HeadstartError": "headstart.errors",
    "ImageClassifier": "headstart.runs.classifier",
    "ImageRegressor": "headstart.runs.regressor",
    "Predictor": "headstart.artifact.predictor",
    "TrainSettings": "headstart.settings",
    "Trained": "headstart.record.trained",
    "audit_images": "headstart.runs.auditing",
    "compare_models": "headstart.runs.comparing",
    "train": "headstart.runs.training",
}

__all__ = [
    "HeadstartError",
    "ImageClassifier",
    "ImageRegressor",
    "Predictor",
    "TrainSettings",
    "Trained",
    "__version__",
    "audit_images",
    "compare_models",
    "train",
]

switch_off_telemetry()  # before any library is loaded

if TYPE_CHECKING:
    from headstart.artifact.predictor import Predictor
    from headstart.errors import HeadstartError
    from headstart.record.trained import Trained
    from headstart.runs.auditing import audit_images
    from headstart.runs.classifier import ImageClassifier
    from headstart.runs.comparing import compare_models
    from headstart.runs.regressor import ImageRegressor
    from headstart.runs.training import train
    from headstart.settings import TrainSettings


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    from headstart.errors import explains_missing_packages

    return getattr(explains_missing_packages(f"headstart.{name}")(import_module)(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
