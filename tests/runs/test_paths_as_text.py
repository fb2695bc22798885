"""Wherever the Python interface means a path it takes a text, a Path and whatever else Python's own open() takes as a path."""

import importlib
import inspect
import os
import pkgutil
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, SavedRun

import headstart
import headstart.runs
from headstart import ImageClassifier, ImageRegressor, Predictor, TrainSettings, audit_images, compare_models, train
from headstart.artifact.export import export_model
from headstart.artifact.verification import extra_files, verify_model
from headstart.runs.embedding import embed
from headstart.runs.evaluating import evaluate_model
from headstart.storage import AnyPath

Tree = dict[str, AnyPath]  # what a test was given: "data", "images", "run", "weights", and "new" for a place that is free


class OwnPath:
    """A path of another library."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __fspath__(self) -> str:
        return self._path


FORMS: dict[str, Callable[[Path], AnyPath]] = {"str": str, "PathLike": OwnPath}  # Path: all other tests


def settings(tree: Tree, **values: Any) -> TrainSettings:
    return TrainSettings(strategy="probe", backbone=TINY, weights=tree["weights"], device="cpu", **values)  # type: ignore[arg-type]


def resume(tree: Tree) -> Any:
    """Fails with the sentence on the place that was named, which is no run."""
    with pytest.raises(headstart.HeadstartError, match="new"):
        train(None, resume=tree["new"])
    return train


def fit_and_save(tree: Tree) -> Any:
    classifier = ImageClassifier("probe", backbone=TINY, weights=tree["weights"], device="cpu").fit(tree["data"])
    assert 0 <= classifier.score(tree["data"]) <= 1
    assert classifier.predict(tree["image"]).shape == classifier.predict([tree["image"]]).shape == (1,)
    assert classifier.predict_proba(tree["image"]).shape == (1, 3)
    return ImageClassifier.load(classifier.save(tree["new"]))


def regress_and_save(tree: Tree) -> Any:
    pictures = sorted(Path(tree["data"]).rglob("*.png"))[:4]
    regressor = ImageRegressor("probe", backbone=TINY, weights=tree["weights"], device="cpu").fit(pictures, [1, 2, 3, 5])
    assert regressor.predict(tree["image"]).shape == (1,)
    return ImageRegressor.load(regressor.save(tree["new"]))


CALLS: dict[str, Callable[[Tree], Any]] = {
    "train": lambda tree: (train(tree["data"], settings(tree, val=tree["val"]), output=tree["new"]), resume({"new": "no/new"})),
    "audit_images": lambda tree: audit_images(tree["data"], tree["new"], settings(tree, test=tree["val"])),
    "compare_models": lambda tree: compare_models(tree["data"], settings(tree), strategies="probe", backbones=TINY, n_folds=2),
    "evaluate_model": lambda tree: evaluate_model(tree["run"], tree["data"]),
    "embed": lambda tree: embed(tree["data"], tree["new"], settings(tree)),
    "export_model": lambda tree: export_model(tree["run"], tree["new"]),
    "verify_model": lambda tree: list(verify_model(tree["run"])),
    "extra_files": lambda tree: extra_files(tree["run"], ["weights.safetensors"]),
    "Predictor.load": lambda tree: Predictor.load(tree["run"]),
    "ImageClassifier": fit_and_save,
    "ImageClassifier.save": fit_and_save,
    "ImageClassifier.load": lambda tree: ImageClassifier.load(tree["run"]),
    "ImageRegressor": regress_and_save,
    "ImageRegressor.save": regress_and_save,
    "ImageRegressor.load": regress_and_save,
}


def interface() -> Iterator[tuple[str, Any]]:
    """Every public function of the package's doors, and every public method of the classes it exports."""
    modules = [
        importlib.import_module(f"headstart.runs.{module.name}") for module in pkgutil.iter_modules(headstart.runs.__path__)
    ]
    values = [getattr(headstart, name) for name in headstart.__all__ if not name.startswith("__")]
    values += [export_model, verify_model, extra_files]
    values += [
        value for module in modules for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__
    ]
    for value in dict.fromkeys(value for value in values if callable(value) and not value.__name__.startswith("_")):
        if not inspect.isclass(value):
            yield value.__name__, value
        elif value.__name__ in headstart.__all__:
            yield value.__name__, value.__init__
            own = [name for base in value.__mro__ if base.__module__.startswith("headstart") for name in vars(base)]
            methods = [name for name in own if not name.startswith("_") and inspect.isroutine(getattr(value, name))]
            yield from ((f"{value.__name__}.{name}", getattr(value, name)) for name in methods)


def paths_of(function: Any) -> dict[str, Any]:
    """The parameters of a function that mean a path, with their types."""
    function = inspect.unwrap(function)
    hints = typing.get_type_hints(function)
    parameters = [name for name in inspect.signature(function).parameters if name in hints]
    return {name: hints[name] for name in parameters if {Path, os.PathLike, os.PathLike[str]} & set(parts_of(hints[name]))}


def parts_of(hint: Any) -> Iterator[Any]:
    yield hint
    for part in typing.get_args(hint) if typing.get_origin(hint) is not os.PathLike else ():
        if not isinstance(part, list):  # the arguments of a Callable
            yield from parts_of(part)


def test_every_path_may_be_text() -> None:
    """No public function takes a Path alone: its annotation says that a text and any other path will do."""
    found = {name: paths_of(function) for name, function in interface() if not name.startswith(("Trained", "HeadstartError"))}
    assert found["train"].keys() == {"data", "output", "resume", "extend"}
    for name, paths in found.items():
        for parameter, hint in paths.items():
            assert {str, os.PathLike[str]} <= set(parts_of(hint)), f"{name}({parameter})"
    takes_images = {"Predictor.predict", "ImageClassifier.fit", "ImageClassifier.predict", "ImageClassifier.predict_proba"}
    named = {name for name, paths in found.items() if paths}
    takes_images |= {"ImageRegressor.fit", "ImageRegressor.predict", "ImageRegressor.predict_interval", "labelled_sources"}
    assert named - takes_images - {"ImageClassifier.score", "ImageRegressor.score"} == set(CALLS), "each has a call in CALLS"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", CALLS)
def test_text_and_paths_do_the_same(saved_run: SavedRun, tiny_weights: Path, tmp_path: Path, call: str, form: str) -> None:
    """Each of them works with a text and with an object of another library that is a path."""
    val = saved_run.data / "val"
    places = {"data": val, "val": val, "run": saved_run.run, "weights": tiny_weights, "new": tmp_path / "new"}
    places["image"] = Path(next(iter(saved_run.labels)))
    if call == "train":
        places["data"] = saved_run.data / "train"
    CALLS[call]({name: FORMS[form](path) for name, path in places.items()})
