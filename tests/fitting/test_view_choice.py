"""What the network sees of each image: as asked for, or what did best on a few training images and on no others."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from conftest import TINY
from PIL import Image

from headstart.data.given import open_given
from headstart.data.opening import open_sources
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, Sources
from headstart.fitting.fit import split_for
from headstart.fitting.scanned import Scanned, scan_given
from headstart.fitting.view_choice import (
    FEWEST,
    MOST_IMAGES_FOR_MORE,
    SAMPLE,
    SAMPLE_OF_CLASS,
    VIEWS,
    ChosenViews,
    ViewChoice,
    choice_between,
    choose_views,
    sample_of,
)
from headstart.model.extractor import Engine, Extractor, Frozen, NetworkId
from headstart.model.pretrained import Backbone
from headstart.model.specs import find_backbone
from headstart.progress import silent
from headstart.settings import TrainSettings

SQUARE = Preprocess(size_px=16, resize_px=18, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
UNUSED = cast("Any", None)
SIZE = (72, 24)  # wide: the central square is a third of the picture


class Quadrants:
    """An extractor's function: the mean colour of each quadrant; it counts the views that it was given."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, views: np.ndarray) -> np.ndarray:
        self.n += len(views)
        half = views.shape[1] // 2
        parts = views.reshape(len(views), 2, half, 2, half, 3).mean(axis=(2, 4), dtype=np.float32)
        return (parts / 64).reshape(len(views), 12)


def backbone_of(compute: Callable[[np.ndarray], np.ndarray], preprocess: Preprocess = SQUARE) -> Backbone:
    spec = find_backbone(TINY)
    extractor = Extractor(compute, Engine(), kept_as=NetworkId("quadrants", "0" * 64))
    frozen = Frozen(spec, preprocess, extractor, 12, 12, UNUSED)
    return Backbone(spec, UNUSED, preprocess, frozen)


def draw(folder: Path, where: str, n: int = 60, seed: int = 0) -> Path:
    """Two classes of noise with a patch that differs: at the "edge", outside the central square, or in the "middle"."""
    rng = np.random.default_rng([seed, *where.encode()])
    left = {"edge": 2, "middle": 29}[where]
    for label, shift in (("dark", -60), ("light", 60)):
        (folder / label).mkdir(parents=True)
        for i in range(n):
            pixels = rng.normal(128, 40, (SIZE[1], SIZE[0], 3)) + rng.normal(0, 25, 3)
            pixels[4:20, left : left + 14] += shift
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


def chosen(
    data: Path | Sequence[Candidate], backbone: Backbone, known: ViewChoice | None = None, **settings: Any
) -> ChosenViews:
    if isinstance(data, Path):
        with open_sources(data) as sources:
            return choose_views(backbone, [sources], TrainSettings.of(**settings), silent, known)
    return choose_views(backbone, [Sources("set", tuple(data), ())], TrainSettings.of(**settings), silent, known)


def candidates(n: int, labels: str = "ab", split: str | None = None) -> list[Candidate]:
    """Candidates of files that there are not."""
    return [Candidate(f"{split}/{i}.png", Path(f"{i}.png"), labels[i % len(labels)], split) for i in range(n)]


# The sample


@pytest.mark.parametrize("n", [2, 40, 99, 500, 2000])
def test_the_sample_is_part_of_train(n: int) -> None:
    """At most half of train and at most some hundreds: a val can still be split off what was not looked at."""
    sample = sample_of(candidates(n), seed=0)
    assert len(sample) == min(SAMPLE, n // 2)
    assert len({candidate.path for candidate in sample}) == len(sample)


def test_the_sample_has_each_class() -> None:
    """Classes come by their shares, a rare one too; with many classes some images of each are taken."""
    many = [*candidates(2000), Candidate("rare.png", Path("rare.png"), "rare", None)]
    labels = [candidate.label for candidate in sample_of(many, seed=0)]
    assert labels.count("rare") == 1 and abs(labels.count("a") - labels.count("b")) <= 1
    names = "".join(map(chr, range(0x4E00, 0x4E00 + 200)))
    labels = [candidate.label for candidate in sample_of(candidates(4000, names), seed=0)]
    assert len(labels) == SAMPLE_OF_CLASS * 200 and {labels.count(name) for name in names} == {SAMPLE_OF_CLASS}


def test_the_sample_depends_on_the_seed_alone() -> None:
    """The same seed takes the same images, in the order of the candidates; another seed takes others."""
    every = candidates(400)
    first, again, other = (sample_of(every, seed) for seed in (0, 0, 1))
    assert first == again and first != other
    assert first == [candidate for candidate in every if candidate in first]


# The choice


def losses_of(*means: float, noise: float = 0.0, n: int = 100) -> np.ndarray:
    """(candidates, n) losses with these very means."""
    noises = np.random.default_rng(0).normal(scale=noise, size=(len(means), n))
    return np.array(means)[:, None] + noises - noises.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (losses_of(0.5, 0.6, 0.6), "crop"),
        (losses_of(0.5, 0.4, 0.45), "whole"),  # of two that cost the same, the better
        (losses_of(0.5, 0.499, 0.6), "whole"),
        (losses_of(0.5, 0.5, 0.5), "crop"),  # of equals, the first
        (losses_of(0.5, 0.6, 0.4), "crop+whole"),
        (losses_of(0.5, 0.6, 0.49, noise=1.0), "crop"),  # dearer, and better only within noise
        (losses_of(0.6, 0.5, 0.49, noise=0.5), "whole"),
        (losses_of(0.9, 0.9, 0.3, noise=0.5), "crop+whole"),  # dearer, and better beyond noise
    ],
)
def test_what_costs_more_must_be_better_beyond_noise(losses: np.ndarray, expected: str) -> None:
    """Of views that cost the same the better is taken, however little; dearer ones must win by more than noise."""
    assert choice_between(VIEWS["normal"], [1, 1, 2], losses).view == expected


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (losses_of(0.5, 0.5, 0.5, 0.5), "crop+whole+mirrored"),
        (losses_of(0.5, 0.5, 0.45, 0.5, noise=0.5), "crop+whole+mirrored"),  # better, but within noise
        (losses_of(0.5, 0.6, 0.3, 0.9, noise=0.1), "crop+whole"),  # as where a mirror image is another class
    ],
)
def test_thorough_takes_all_views_unless_fewer_are_shown_to_be_better(losses: np.ndarray, expected: str) -> None:
    """Averaging more views is given up only for what is better by two standard errors."""
    assert choice_between(VIEWS["thorough"], [1, 1, 2, 4], losses, thorough=True).view == expected


def test_the_trials_are_told() -> None:
    """Each candidate with its cost, its loss and the distance to the chosen one, and a sentence on why."""
    found = choice_between(VIEWS["normal"], [1, 1, 2], losses_of(0.5, 0.4, 0.45, noise=0.1))
    assert [(trial.view, trial.n_views) for trial in found.trials] == [("crop", 1), ("whole", 1), ("crop+whole", 2)]
    assert found.n_images == 100 and found.view == "whole"
    assert found.trials[1].worse == found.trials[1].worse_se == 0
    assert found.trials[0].worse == pytest.approx(found.trials[0].log_loss - found.trials[1].log_loss)
    assert found.why.startswith("held-out log loss 0.4") and "for crop" in found.why and "for whole" not in found.why
    assert ViewChoice.from_json(found.as_json()) == found


# On pictures


def test_what_is_at_the_edge_is_seen(tmp_path: Path) -> None:
    """Where the classes differ outside the central square, the whole picture is chosen, and the backbone sees it so."""
    compute = Quadrants()
    found = chosen(draw(tmp_path / "set", "edge"), backbone_of(compute))
    assert found.choice.view == "whole"
    assert found.backbone.preprocess.view_name == "whole"
    assert found.backbone.frozen is not None and found.backbone.frozen.preprocess.view_name == "whole"
    assert [trial.view for trial in found.choice.trials] == list(VIEWS["normal"])
    assert found.choice.n_images == len(found.seen) == 60  # half of 120
    assert compute.n == 2 * 60  # each view of each image once, whatever the number of candidates


def test_the_choice_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """Nothing depends on a clock, on what the store has, or on the number of threads."""
    data, cold = draw(tmp_path / "set", "middle"), Quadrants()
    first = chosen(data, backbone_of(cold), effort="thorough", workers=1)
    warm = Quadrants()
    again = chosen(data, backbone_of(warm), effort="thorough", workers=3)
    assert (first.choice, first.seen) == (again.choice, again.seen)
    assert (cold.n, warm.n) == (4 * 60, 0)
    assert [trial.view for trial in first.choice.trials] == list(VIEWS["thorough"])
    assert chosen(data, backbone_of(warm), seed=1).seen != first.seen


@pytest.mark.parametrize(
    ("settings", "why"), [({"view": "whole"}, "it was asked for"), ({"effort": "quick"}, "--effort quick takes one pass")]
)
def test_nothing_is_compared_where_it_is_said(settings: dict[str, Any], why: str) -> None:
    """Views that were asked for, or one pass: no file is opened, and no image had a part in the choice."""
    compute = Quadrants()
    seen_as = settings.get("view", "pad")
    found = chosen(candidates(500), backbone_of(compute, SQUARE.seen_as(seen_as)), **settings)
    assert found.choice.view == found.backbone.preprocess.view_name == seen_as
    assert found.choice.why.startswith(why)
    assert (found.choice.n_images, found.choice.trials, found.seen, compute.n) == (0, (), frozenset(), 0)


def test_many_images_are_seen_once() -> None:
    """Above a fixed number of images each is seen once: the number and not the clock decides."""
    found = chosen(candidates(MOST_IMAGES_FOR_MORE + 1), backbone_of(Quadrants()))
    assert found.choice.view == "crop" and "one pass" in found.choice.why and found.seen == frozenset()


@pytest.mark.parametrize(("n", "words"), [(FEWEST - 1, "too few"), (60, "too small")])
def test_sets_that_say_nothing(n: int, words: str, tmp_path: Path) -> None:
    """With few images, or none of a class to hold out, the backbone keeps its own view and says why."""
    data = draw(tmp_path / "set", "edge", n=n)
    if words == "too small":
        for file in sorted((data / "light").iterdir())[1:]:
            file.unlink()
        for i in range(60):
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (24, 72, 3), dtype=np.uint8)).save(
                data / "dark" / f"more {i}.png"
            )
    found = chosen(data, backbone_of(Quadrants(), SQUARE.seen_as("pad")))
    assert found.choice.view == found.backbone.preprocess.view_name == "pad" and words in found.choice.why
    assert found.choice.trials == () and found.seen == frozenset()


def test_val_and_test_are_never_looked_at(tmp_path: Path) -> None:
    """Only images of train are compared on: whatever is in val and test, and however much, the choice is the same."""
    data = draw(tmp_path / "set", "edge")
    with open_sources(data) as sources:
        train = [replace(candidate, split="train") for candidate in sources.candidates]
    held = draw(tmp_path / "held", "middle", n=80, seed=1)
    with open_sources(held) as sources:
        others = [replace(candidate, split=["val", "test"][i % 2]) for i, candidate in enumerate(sources.candidates)]
    alone, among, compute = Quadrants(), Quadrants(), Quadrants()
    expected = chosen(train, backbone_of(alone))
    found = chosen([*others, *train], backbone_of(among))
    assert (found.choice, found.seen) == (expected.choice, expected.seen)
    assert found.seen <= {candidate.path for candidate in train}
    chosen(others, backbone_of(compute))
    assert compute.n == 0


def test_a_choice_from_before_is_kept(tmp_path: Path) -> None:
    """A resumed run compares nothing again: it sees as it saw, and still knows which images were looked at."""
    data, compute = draw(tmp_path / "set", "edge"), Quadrants()
    before = chosen(data, backbone_of(compute))
    n = compute.n
    other = before.choice.model_copy(update={"view": "pad"})
    again = chosen(data, backbone_of(compute), known=other)
    assert (again.choice, again.seen, compute.n) == (other, before.seen, n)
    assert again.backbone.preprocess.view_name == "pad"


# In a run


@pytest.fixture
def scanned(tmp_path: Path, tiny_weights: Path) -> Callable[..., Scanned]:
    """Scans drawn pictures with the tiny network."""
    data = draw(tmp_path / "set", "edge")

    def scan(**values: Any) -> Scanned:
        settings = TrainSettings.of(**{"backbone": TINY, "weights": tiny_weights, "image_size": 48, "device": "cpu"} | values)
        with open_given(data, settings) as sources:
            return scan_given(sources, settings)

    return scan


def test_val_is_split_off_what_was_not_looked_at(scanned: Callable[..., Scanned]) -> None:
    """Images that views were compared on stay in train, so val judges a model of which it has decided nothing."""
    found = scanned()
    assert found.settings.view == found.views.view == found.backbone.preprocess.view_name
    assert found.views.n_images == found.compared_on.sum() == 60
    assert found.vectors.shape == (120, 464)
    split = split_for(found)
    assert len(split.val) == 24 and not found.compared_on[split.val].any()


def test_a_run_with_one_view(scanned: Callable[..., Scanned]) -> None:
    """With --effort quick nothing is looked at before the split."""
    found = scanned(effort="quick", stages=False)
    assert not found.compared_on.any() and found.compared_on.shape == (120,)
    assert found.vectors.shape == (120, 96) and found.settings.view == "crop"
    assert found.work.computed == 120
