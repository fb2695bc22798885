"""A fitted estimator can be pickled, copied and cloned, as scikit-learn's tools do."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from conftest import TINY
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from headstart import ImageClassifier

Draw = Callable[..., Path]


@pytest.fixture
def paths(draw_classes: Draw) -> list[str]:
    return [str(path) for path in sorted(draw_classes({"circles": 8, "squares": 8}).rglob("*.png"))]


@pytest.fixture
def numbers(paths: list[str]) -> list[int]:
    """Labels that are no text."""
    return [int("squares" in path) for path in paths]


@pytest.fixture
def tiny(tiny_weights: Path) -> ImageClassifier:
    return ImageClassifier("probe", backbone=TINY, weights=tiny_weights, device="cpu")


def through_joblib(value: object) -> object:
    file = io.BytesIO()
    joblib.dump(value, file)
    file.seek(0)
    return joblib.load(file)


COPIES: dict[str, Callable[[ImageClassifier], ImageClassifier]] = {
    "pickle": lambda classifier: pickle.loads(pickle.dumps(classifier)),
    "pickle of a pickle": lambda classifier: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(classifier)))),
    "protocol 2": lambda classifier: pickle.loads(pickle.dumps(classifier, protocol=2)),
    "joblib": through_joblib,  # type: ignore[dict-item]
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES)
def test_a_fitted_copy_answers_the_same(
    tiny: ImageClassifier, paths: list[str], numbers: list[int], tmp_path: Path, copied: str
) -> None:
    """Every copy has the parameters, the classes in their type and the probabilities of the original, and can be saved."""
    tiny.fit(paths, numbers)
    other = COPIES[copied](tiny)
    assert other is not tiny
    assert other.get_params() == tiny.get_params()
    assert (other.classes_.tolist(), other.classes_.dtype, other.strategy_) == ([0, 1], tiny.classes_.dtype, "probe")
    np.testing.assert_allclose(other.predict_proba(paths), tiny.predict_proba(paths), atol=1e-6)
    check_is_fitted(other)
    loaded = ImageClassifier.load(other.save(tmp_path / "model"))
    np.testing.assert_allclose(loaded.predict_proba(paths), tiny.predict_proba(paths), atol=1e-6)


@pytest.mark.parametrize("copied", COPIES)
def test_an_unfitted_copy(tiny: ImageClassifier, paths: list[str], copied: str) -> None:
    """So does a copy of an estimator that is not fitted, which stays so."""
    other = COPIES[copied](tiny)
    assert other.get_params() == tiny.get_params()
    with pytest.raises(NotFittedError):
        other.predict(paths)


def test_a_copy_is_independent(tiny: ImageClassifier, paths: list[str], numbers: list[int]) -> None:
    """To fit a copy again, or to change its parameters, does not change the original."""
    tiny.fit(paths, numbers)
    wanted = tiny.predict_proba(paths)
    for other in (copy.deepcopy(tiny), pickle.loads(pickle.dumps(tiny)), clone(tiny)):
        other.set_params(seed=3).fit(paths, [1 - number for number in numbers])
        assert (tiny.predict_proba(paths) == wanted).all()
        assert tiny.seed == 0
    assert not hasattr(clone(tiny), "classes_")


def test_a_loaded_model_is_copied_and_saved(
    tiny: ImageClassifier, paths: list[str], numbers: list[int], tmp_path: Path
) -> None:
    """What was loaded from a folder can be pickled, and saved to another folder with the same bytes."""
    loaded = ImageClassifier.load(tiny.fit(paths, numbers).save(tmp_path / "model"))
    other = pickle.loads(pickle.dumps(loaded))
    assert (other.predict(paths) == loaded.predict(paths)).all()
    for classifier, name in ((loaded, "one"), (other, "two")):
        classifier.save(tmp_path / name)
        for file in (tmp_path / "model").iterdir():
            assert (tmp_path / name / file.name).read_bytes() == file.read_bytes()


@pytest.mark.filterwarnings("ignore::headstart.errors.HeadstartWarning")  # that the probe was not beaten
def test_a_finetuned_estimator(tiny: ImageClassifier, paths: list[str], numbers: list[int]) -> None:
    """A fine-tuned one too, which then runs in its compiled form."""
    tiny.set_params(strategy="finetune", epochs=1).fit(paths, numbers)
    other = pickle.loads(pickle.dumps(tiny))
    np.testing.assert_allclose(other.predict_proba(paths), tiny.predict_proba(paths), atol=1e-4)


def test_in_a_pipeline(tiny: ImageClassifier, paths: list[str], numbers: list[int]) -> None:
    """A pipeline with one can be pickled, and searched over its parameters."""
    pipeline = Pipeline([("classifier", tiny)])
    other = pickle.loads(pickle.dumps(pipeline.fit(paths, numbers)))
    assert (other.predict(paths) == pipeline.predict(paths)).all()
    search = GridSearchCV(pipeline, {"classifier__balance": [True, False]}, cv=2).fit(paths, numbers)
    assert (pickle.loads(pickle.dumps(search)).predict(paths) == search.predict(paths)).all()


def test_it_says_what_it_takes() -> None:
    """scikit-learn is told that it classifies lists of text, not tables of numbers."""
    tags = get_tags(ImageClassifier())
    assert tags.estimator_type == "classifier"
    assert (tags.input_tags.one_d_array, tags.input_tags.string, tags.input_tags.two_d_array) == (True, True, False)


@pytest.mark.slow
def test_estimators_come_back_from_other_processes(tiny: ImageClassifier, paths: list[str], numbers: list[int]) -> None:
    """cross_validate in several processes can return its estimators."""
    found = cross_validate(tiny, paths, numbers, cv=2, n_jobs=2, return_estimator=True)
    for estimator in found["estimator"]:
        assert set(estimator.predict(paths)) <= {0, 1}
