"""What is known of a data set once each of its files was opened."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from PIL import Image

from headstart.data.dataset import Dataset
from headstart.data.given import open_given
from headstart.errors import DataError
from headstart.fitting.fit import split_for
from headstart.fitting.probe_fit import fit_probe_run
from headstart.fitting.scanned import Scanned, scan_given
from headstart.progress import silent
from headstart.settings import TrainSettings


@pytest.fixture
def scanned(tiny_weights: Path) -> Callable[..., Scanned]:
    """Scans DATA with the tiny network; `refuse` is what to make of it in place of a data set."""

    def scan(data: Path, make_dataset: Any = None, **values: Any) -> Scanned:
        settings = TrainSettings.of(
            **{"backbone": TINY, "weights": tiny_weights, "image_size": 48, "device": "cpu", "effort": "quick"} | values
        )
        with open_given(data, settings) as sources:
            return scan_given(sources, settings, **({"make_dataset": make_dataset} if make_dataset else {}))

    return scan


def test_everything_is_in_the_order_of_the_images(draw_classes: Callable[..., Path], scanned: Callable[..., Scanned]) -> None:
    """Facts, vectors and groups have a row an image; files that cannot be read are listed, from every source."""
    data, others = draw_classes({"circles": 4, "squares": 3}), draw_classes({"circles": 2, "squares": 2}, "others", 1)
    (data / "circles" / "broken.png").touch()
    (others / "squares" / "broken.png").touch()
    found = scanned(data, val=others)
    assert [image.split for image in found.dataset.images] == ["train"] * 7 + ["val"] * 4
    assert found.dataset.classes == ("circles", "squares")
    assert [Path(skipped.path).parent.parent for skipped in found.dataset.skipped] == [data, others]
    assert len(found.facts) == len(found.vectors) == len(found.groups) == 11
    assert [(facts.width, facts.height) for facts in found.facts] == [(96, 80)] * 11
    table = found.table()
    assert table.vectors is found.vectors and table.groups is found.groups and table.n_classes == 2
    assert table.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    assert {"load", "scan"} <= set(found.seconds) <= {"load", "views", "scan"} and found.work.computed == 11


def test_twins_belong_together(draw_classes: Callable[..., Path], scanned: Callable[..., Scanned]) -> None:
    """A copy of an image is in its group, so that no split made here divides the two."""
    data = draw_classes({"circles": 4, "squares": 4})
    shutil.copy(data / "circles" / "circles-1.png", data / "circles" / "zz.png")
    found = scanned(data)
    names = [image.file.name for image in found.dataset.images]
    groups = dict(zip(names, found.groups.tolist(), strict=True))
    assert groups["zz.png"] == groups["circles-1.png"]
    assert len(set(groups.values())) == len(names) - 1 == 8


def test_files_with_several_pages_are_told(draw_classes: Callable[..., Path], scanned: Callable[..., Scanned]) -> None:
    """A run says how many files hold several pages, also when everything is in the store already."""
    data = draw_classes({"circles": 3, "squares": 3})
    with Image.open(data / "circles" / "circles-1.png") as page:
        page.save(data / "circles" / "scan.tif", save_all=True, append_images=[page, page])
    for _ in range(2):
        assert scanned(data).dataset.notes[-1] == "1 file holds several pages; its first is used"


def test_the_tutorial_has_no_features(draw_classes: Callable[..., Path], scanned: Callable[..., Scanned]) -> None:
    """A recipe without use for features computes none; everything else is known as ever."""
    found = scanned(draw_classes({"circles": 3, "squares": 3}), recipe="tutorial", strategy="finetune")
    assert found.vectors.shape == (6, 0) and found.backbone.frozen is None
    assert len(found.facts) == 6 and found.facts[0].format == "PNG"
    assert found.backbone.preprocess.size_px == 48 and found.backbone.preprocess.decode_margin == 0


def test_what_is_refused(draw_classes: Callable[..., Path], scanned: Callable[..., Scanned]) -> None:
    """A data set that cannot be trained on is refused here, by the function that makes it; another may take it as it is."""
    data = draw_classes({"circles": 3})
    with pytest.raises(DataError, match="class"):
        scanned(data)

    def as_it_is(name: str, images: Sequence[Any], skipped: Sequence[Any], sources: Sequence[Any]) -> Dataset:
        return Dataset(name, tuple(images), ("circles",), tuple(skipped), ())

    found = scanned(data, as_it_is)
    assert (found.dataset.name, found.dataset.classes, len(found.dataset.images)) == ("shapes", ("circles",), 3)


def test_a_second_scan_computes_nothing(draw_classes: Callable[..., Path], scanned: Callable[..., Scanned]) -> None:
    """What the store has is not computed again, and is the same to the bit."""
    data = draw_classes({"circles": 3, "squares": 3})
    first, second = scanned(data), scanned(data)
    assert (first.work.computed, second.work.computed, second.work.stored) == (6, 0, 6)
    assert np.array_equal(first.vectors, second.vectors) and first.facts == second.facts


def test_features_in_a_file_are_as_those_in_memory(
    draw_classes: Callable[..., Path], scanned: Callable[..., Scanned], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many images they are in a file: twins, groups, fits and familiarity have the same bits."""
    data = draw_classes({"circles": 20, "squares": 22})
    shutil.copy(data / "circles" / "circles-1.png", data / "circles" / "zz.png")
    (data / "circles" / "circles-3.png").write_bytes(b"\x89PNG")
    fits = []
    for limit in (0, 1 << 30):
        monkeypatch.setattr("headstart.model.features.ON_DISK_BYTES", limit)
        found = scanned(data, strategy="probe")
        assert isinstance(found.vectors, np.ndarray) == (limit > 0)
        fitted = fit_probe_run(found, split_for(found), progress=silent)
        head, familiar = fitted.model.head, fitted.familiarity
        fits.append((found.twins.pairs(), found.groups, head.weight, head.bias, familiar.references, familiar.threshold))
        fits[-1] += tuple(answers.probabilities for answers in fitted.answers)
    for one, other in zip(*fits, strict=True):
        np.testing.assert_array_equal(one, other)
