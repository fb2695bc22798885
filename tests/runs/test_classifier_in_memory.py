"""ImageClassifier takes what Python programs have: images in memory, one or many, and labels in any common form."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from PIL import Image
from sklearn.model_selection import GridSearchCV, cross_val_score

from headstart import HeadstartError, ImageClassifier
from headstart.errors import HeadstartWarning

Draw = Callable[..., Path]


@pytest.fixture
def files(draw_classes: Draw) -> list[Path]:
    return sorted(draw_classes({"circles": 8, "squares": 8}).rglob("*.png"))


@pytest.fixture
def labels(files: list[Path]) -> list[str]:
    return [file.parent.name for file in files]


@pytest.fixture
def tiny(tiny_weights: Path) -> ImageClassifier:
    return ImageClassifier("probe", backbone=TINY, weights=str(tiny_weights), device="cpu")


def pixels_of(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def in_memory(files: list[Path]) -> dict[str, list[Any]]:
    """The same images in every form."""
    return {
        "PIL images": [Image.open(io.BytesIO(file.read_bytes())) for file in files],
        "arrays": [pixels_of(file) for file in files],
        "bytes": [file.read_bytes() for file in files],
        "buffers": [io.BytesIO(file.read_bytes()) for file in files],
        "texts": [str(file) for file in files],
    }


def test_predict_takes_every_form(tiny: ImageClassifier, files: list[Path], labels: list[str]) -> None:
    """Paths, PIL images, arrays, bytes and buffers, one or many, get the same probabilities from predict and predict_proba."""
    tiny.fit(files, labels)
    wanted = tiny.predict_proba(files)
    for images in in_memory(files).values():
        np.testing.assert_array_equal(tiny.predict_proba(images), wanted)
        np.testing.assert_array_equal(tiny.predict_proba(images[3]), wanted[3:4])
        assert tiny.predict(images[3]).tolist() == tiny.predict(iter(images))[3:4].tolist()
        assert tiny.score(images, labels) == tiny.score(files, labels)
    assert tiny.predict([]).shape == (0,)


def test_one_text_is_one_path(tiny: ImageClassifier, files: list[Path], labels: list[str]) -> None:
    """A text is one path, never one path a letter."""
    tiny.fit(files, labels)
    assert tiny.predict(str(files[0])).shape == (1,)
    with pytest.raises(HeadstartError, match=r"^none\.png cannot be read: there is no such file"):
        tiny.predict("none.png")


def test_what_predict_cannot_take(tiny: ImageClassifier, files: list[Path], labels: list[str]) -> None:
    """Wrong arrays and unreadable images in memory are named with their place in the list."""
    tiny.fit(files, labels)
    with pytest.raises(HeadstartError, match=r"images\[1\] is an array of float64, not uint8"):
        tiny.predict([files[0], np.zeros((8, 8, 3))])
    with pytest.raises(HeadstartError, match=r"images\[1\] cannot be read: a text file, not an image"):
        tiny.predict([files[0], b"no image"])


def test_fit_takes_images_in_memory(tiny: ImageClassifier, files: list[Path], labels: list[str], tmp_path: Path) -> None:
    """Fitted on images in memory, it is the classifier that is fitted on their files, and can be saved."""
    wanted = tiny.fit(files, labels).predict_proba(files)
    for name, images in in_memory(files).items():
        np.testing.assert_allclose(tiny.fit(images, labels).predict_proba(files), wanted, atol=1e-6)
        tiny.save(tmp_path / name)
    batch = np.stack([pixels_of(file)[:64, :64] for file in files])
    assert tiny.fit(batch, labels).predict(batch).shape == (16,)
    assert cross_val_score(tiny, batch, labels, cv=2).shape == (2,)
    with pytest.raises(HeadstartError, match=r"images\[16\] cannot be read: a text file"):
        tiny.fit([*batch, b"no image"], [*labels, "circles"])


@pytest.mark.filterwarnings("ignore::headstart.errors.HeadstartWarning")  # that the probe was not beaten
def test_gradient_steps_on_images_in_memory(tiny: ImageClassifier, files: list[Path], labels: list[str]) -> None:
    """Fine-tuning reads its images more than once, also those in memory."""
    images = in_memory(files)["arrays"]
    tiny.set_params(strategy="finetune", epochs=1).fit(images, labels)
    assert tiny.predict(images).shape == (16,)


def test_labels_of_every_form(tiny: ImageClassifier, files: list[Path], labels: list[str]) -> None:
    """Columns, numbers, truth values and whole floats are labels, and come back as they were given, in fit and in score."""
    square = [label == "squares" for label in labels]
    forms: list[tuple[Any, list[Any]]] = [
        (np.array(labels)[:, None], ["circles", "squares"]),
        (np.array(labels, object), ["circles", "squares"]),
        (square, [False, True]),
        (np.array(square, float), [0.0, 1.0]),
        (np.array(square, np.int8), [0, 1]),
    ]
    for y, classes in forms:
        tiny.fit(files, y)
        assert tiny.classes_.tolist() == classes
        assert tiny.predict(files).dtype == np.asarray(y).dtype
        assert tiny.score(files, y) > 0.8
    assert tiny._predictor.classes == ("0", "1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda y: np.eye(2)[[int(label == "squares") for label in y]], "one-hot"),
        (lambda y: [None, *y[1:]], "1 label is missing, at position 0"),
        (lambda y: np.array([np.nan, *y[1:]]), "1 label is missing, at position 0"),
        (lambda y: y[1:], "there are 16 images and 15 labels"),
        (lambda y: "circles", "the labels are one text"),
    ],
)
def test_wrong_labels_are_refused(
    tiny: ImageClassifier, files: list[Path], labels: list[str], change: Callable[[list[str]], Any], sentence: str
) -> None:
    """What is no list of labels is refused by fit, before anything is trained, and by score."""
    with pytest.raises(HeadstartError, match=sentence):
        tiny.fit(files, change(labels))
    assert not hasattr(tiny, "classes_")
    tiny.fit(files, labels)
    with pytest.raises(HeadstartError, match=sentence):
        tiny.score(files, change(labels))


def test_wrong_uses_have_hints(tiny: ImageClassifier, files: list[Path], labels: list[str], tmp_path: Path) -> None:
    """Labels beside a folder, and numbers for a model that knows its classes as text, are told."""
    with pytest.raises(HeadstartError, match=r"is a folder, and its labels are its class folders \(use fit\(folder\)\)"):
        tiny.fit(files[0].parent.parent, labels)
    numbers = [int(label == "squares") for label in labels]
    tiny.fit(files, numbers).save(tmp_path / "model")
    loaded = ImageClassifier.load(tmp_path / "model")
    assert loaded.score(files, [str(number) for number in numbers]) > 0.8
    with pytest.raises(HeadstartError, match="is of another type than the class '0'"):
        loaded.score(files, numbers)


def test_a_data_frame(tiny: ImageClassifier, files: list[Path], labels: list[str]) -> None:
    """The columns of a DataFrame are lists of paths and labels; the whole of it is not."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"path": map(str, files), "label": labels}).sample(frac=1, random_state=0)
    tiny.fit(frame.path, frame.label)
    assert tiny.score(frame[["path"]], frame[["label"]]) > 0.8
    assert tiny.predict(frame.path).tolist() == [tiny.predict(path)[0] for path in frame.path]
    assert cross_val_score(tiny, frame.path, frame.label.astype("category"), cv=2).shape == (2,)
    with pytest.raises(HeadstartError, match=r"images is a table of 2 columns \(path, label\) \(give one column"):
        tiny.fit(frame, frame.label)


@pytest.mark.filterwarnings(f"ignore::{HeadstartWarning.__module__}.HeadstartWarning")
def test_grid_search(tiny: ImageClassifier, files: list[Path], labels: list[str]) -> None:
    """A grid search over settings works on a list of paths, and its best estimator predicts."""
    search = GridSearchCV(tiny, {"balance": [False, True], "seed": [0, 1]}, cv=2).fit([str(file) for file in files], labels)
    assert search.best_params_.keys() == {"balance", "seed"}
    assert search.predict(files).shape == (16,)
