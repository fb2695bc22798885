"""Promises of ImageClassifier: scikit-learn's contract, on paths."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

from headstart import HeadstartError, ImageClassifier, TrainSettings
from headstart.errors import HeadstartWarning

Draw = Callable[..., Path]


@pytest.fixture
def tiny(tiny_weights: Path) -> ImageClassifier:
    """A classifier on the tiny network."""
    return ImageClassifier(backbone=TINY, weights=tiny_weights, device="cpu")


def paths_and_labels(folder: Path) -> tuple[list[str], list[str]]:
    files = sorted(folder.rglob("*.png"))
    return [str(file) for file in files], [file.parent.name for file in files]


def test_arguments_are_the_settings() -> None:
    """The estimator's arguments and defaults are those of TrainSettings."""
    parameters = inspect.signature(ImageClassifier.__init__).parameters
    arguments = {name: p.default for name, p in parameters.items() if name != "self"}
    assert arguments == {name: field.default for name, field in TrainSettings.model_fields.items()}


def test_at_most_twelve_public_methods() -> None:
    """The estimator stays a coat: at most 12 public methods of its own."""
    assert len([name for name in vars(ImageClassifier) if not name.startswith("_")]) <= 12


def test_parameters_and_clone() -> None:
    """get_params, set_params and clone work as scikit-learn's do."""
    classifier = ImageClassifier(strategy="finetune", epochs=3)
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    assert copy.set_params(epochs=5).epochs == 5
    assert classifier.epochs == 3


def test_fit_predict(tiny: ImageClassifier, draw_classes: Draw) -> None:
    """Fitted on paths and labels it predicts labels, and probabilities in the order of classes_."""
    paths, labels = paths_and_labels(draw_classes({"circles": 12, "squares": 12, "triangles": 12}))
    assert tiny.fit(paths, labels) is tiny
    probabilities = tiny.predict_proba(paths)
    assert probabilities.shape == (36, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    predicted = tiny.predict(paths)
    assert (predicted == tiny.classes_[probabilities.argmax(axis=1)]).all()
    assert tiny.score(paths, labels) == np.mean(predicted == np.asarray(labels))
    assert tiny.predict(paths[0]).tolist() == [predicted[0]]
    assert tiny.predict_proba([]).shape == (0, 3)


def test_labels_keep_their_type(tiny: ImageClassifier, draw_classes: Draw) -> None:
    """Integer labels come back as integers, sorted as numbers are."""
    paths, labels = paths_and_labels(draw_classes({"circles": 8, "squares": 8, "triangles": 8}))
    numbers = [{"circles": 10, "squares": 2, "triangles": 1}[label] for label in labels]
    tiny.fit(paths, numbers)
    assert tiny.classes_.tolist() == [1, 2, 10]
    assert tiny.predict(paths).dtype.kind == "i"
    assert tiny.score(paths, numbers) > 0.8


def test_inside_scikit_learn(tiny: ImageClassifier, draw_classes: Draw) -> None:
    """It works in a pipeline under cross_val_score, on lists of paths, with a metric that needs probabilities."""
    paths, labels = paths_and_labels(draw_classes({"circles": 9, "squares": 9}))
    pipeline = Pipeline([("classifier", tiny)])
    assert cross_val_score(pipeline, paths, labels, cv=3).shape == (3,)
    assert (cross_val_score(tiny, paths, labels, cv=3, scoring="neg_log_loss") < 0).all()


def test_unreadable_path_raises(tiny: ImageClassifier, draw_classes: Draw, tmp_path: Path) -> None:
    """A path that someone labelled and nobody can read is an error, in fit and in predict."""
    paths, labels = paths_and_labels(draw_classes({"circles": 5, "squares": 5}))
    missing = str(tmp_path / "missing.png")
    with pytest.raises(HeadstartError, match=r"missing\.png cannot be read: there is no such file"):
        tiny.fit([*paths, missing], [*labels, "circles"])
    tiny.fit(paths, labels)
    with pytest.raises(HeadstartError, match=r"missing\.png cannot be read"):
        tiny.predict([missing])


def test_wrong_use_is_told(tiny: ImageClassifier, draw_classes: Draw) -> None:
    """Forgotten labels, uneven lists, a wrong setting and an unfitted estimator each have their sentence."""
    paths, labels = paths_and_labels(draw_classes({"circles": 4, "squares": 4}))
    with pytest.raises(HeadstartError, match="needs labels"):
        tiny.fit(paths)
    with pytest.raises(HeadstartError, match="8 images and 7 labels"):
        tiny.fit(paths, labels[1:])
    with pytest.raises(HeadstartError, match="--strategy cannot be 'prob'"):
        ImageClassifier(strategy="prob").fit(paths, labels)
    with pytest.raises(NotFittedError):
        tiny.predict(paths)


def test_folders(tiny: ImageClassifier, draw_classes: Draw) -> None:
    """fit and score take a folder of classes; what is skipped there is warned of."""
    data = draw_classes({"circles": 10, "squares": 10}, "set/train").parent
    draw_classes({"circles": 4, "squares": 4}, "set/val")
    tiny.fit(data / "train")
    assert 0.5 < tiny.score(data / "val") <= 1
    (data / "val" / "circles" / "broken.png").write_bytes(b"no image")
    with pytest.warns(HeadstartWarning, match=r"1 files? (was|were) skipped"):
        tiny.score(data / "val")


def test_save_and_load(tiny: ImageClassifier, draw_classes: Draw, tmp_path: Path) -> None:
    """A saved classifier gives the same probabilities when loaded, and an existing folder is not replaced."""
    paths, labels = paths_and_labels(draw_classes({"circles": 8, "squares": 8}))
    tiny.fit(paths, labels)
    target = tiny.save(tmp_path / "model")
    loaded = ImageClassifier.load(target)
    assert loaded.classes_.tolist() == ["circles", "squares"]
    np.testing.assert_allclose(loaded.predict_proba(paths), tiny.predict_proba(paths), atol=1e-6)
    assert loaded.get_params()["backbone"] == TINY
    with pytest.raises(HeadstartError, match="exists"):
        tiny.save(tmp_path / "model")


@pytest.mark.filterwarnings("ignore::headstart.errors.HeadstartWarning")  # that the probe was not beaten
@pytest.mark.parametrize("values", [{"strategy": "finetune", "epochs": 1}, {"recipe": "tutorial", "epochs": 1}])
def test_gradient_steps(tiny: ImageClassifier, draw_classes: Draw, values: dict[str, Any]) -> None:
    """Fine-tuning and the classic procedure work through the estimator, too."""
    paths, labels = paths_and_labels(draw_classes({"circles": 8, "squares": 8}))
    classifier = tiny.set_params(**values).fit(paths, labels)
    assert classifier.predict(paths).shape == (16,)


def test_nothing_is_ignored_silently(tiny: ImageClassifier, draw_classes: Draw) -> None:
    """A setting without effect is warned of; val beside a list of paths is refused, for nothing would read it."""
    folder = draw_classes({"circles": 5, "squares": 5})
    paths, labels = paths_and_labels(folder)
    with pytest.warns(HeadstartWarning, match="--epochs has no effect"):
        clone(tiny).set_params(epochs=3).fit(paths, labels)
    with pytest.raises(HeadstartError, match="val, test, exclude and labels need a folder, not a list of images"):
        clone(tiny).set_params(val=folder).fit(paths, labels)


def test_interrupted_training_is_warned_of(tiny: ImageClassifier, draw_classes: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while fine-tuning keeps the best epoch so far, as scikit-learn's own networks do, and says so."""
    from headstart.model import finetune

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune._Loop, "_step", interrupt)
    paths, labels = paths_and_labels(draw_classes({"circles": 8, "squares": 8}))
    with pytest.warns(HeadstartWarning, match="training was interrupted: epoch 0, the best so far, is kept"):
        tiny.set_params(strategy="finetune", epochs=1).fit(paths, labels)
    assert tiny.predict(paths).shape == (16,)
