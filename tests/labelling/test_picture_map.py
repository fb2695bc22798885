"""The map: like pictures near each other, the same on every machine, new ones placed and old ones left where they are."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from headstart.errors import HeadstartError, HeadstartWarning
from headstart.labelling import map_file, neighbour_embedding, picture_map
from headstart.labelling.map_file import kept_map
from headstart.labelling.nearest import nearest
from headstart.labelling.neighbour_embedding import repulsion
from headstart.labelling.picture_map import fit_projection, make_map
from headstart.storage import sha256_of_bytes


def groups(n: int = 400, n_groups: int = 40, n_features: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in groups that two dimensions cannot tell apart, and the group of each."""
    centres = 2 * np.random.default_rng(99).standard_normal((n_groups, n_features), dtype=np.float32)
    rng = np.random.default_rng(seed)
    of = rng.integers(0, n_groups, n)
    return centres[of] + rng.standard_normal((n, n_features), dtype=np.float32), of


def digests(n: int, first: int = 0) -> list[str]:
    return [sha256_of_bytes(str(number).encode()) for number in range(first, first + n)]


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rough map, for tests that do not ask how good it is."""
    monkeypatch.setattr(neighbour_embedding, "EXAGGERATED_STEPS", 10)
    monkeypatch.setattr(neighbour_embedding, "STEPS", 30)


def test_the_map_is_more_trustworthy_than_principal_components() -> None:
    """Its trustworthiness is that of the first two principal components plus 0.1 or more."""
    vectors, _ = groups()
    made = make_map(vectors)
    of_map, of_components = (trustworthiness(vectors, two, n_neighbors=5) for two in (made.places, made.coordinates[:, :2]))
    assert of_map >= of_components + 0.1
    assert of_map > 0.9


@pytest.mark.usefixtures("few_steps")
def test_places_fill_the_unit_square() -> None:
    """Places are float32 from 0 to 1, and the longer side of the map is used in full."""
    places = make_map(groups()[0]).places
    assert (places.dtype, places.shape) == (np.float32, (400, 2))
    assert (places.min(), places.max()) == (0, 1)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("n", [1, 2, 3, 4, 17])
@pytest.mark.parametrize("n_features", [1, 60])
def test_few_pictures(n: int, n_features: int) -> None:
    """The map of a handful of pictures, of however few features, is one, too."""
    vectors = np.random.default_rng(0).standard_normal((n, n_features), dtype=np.float32)
    made = make_map(vectors)
    assert np.isfinite(made.places).all() and made.places.min() >= 0 and made.places.max() <= 1
    assert made.place(vectors).shape == (n, 2)


@pytest.mark.usefixtures("few_steps")
def test_no_pictures() -> None:
    """Without pictures there is no map, and it is said."""
    with pytest.raises(HeadstartError, match="at least one picture"):
        make_map(np.empty((0, 5), np.float32))
    assert make_map(groups(20)[0]).place(np.empty((0, 80), np.float32)).shape == (0, 2)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("vector", [0.0, 1e6])
def test_pictures_that_are_all_the_same(vector: float) -> None:
    """Copies of one picture have places, and do not stop the map."""
    places = make_map(np.full((100, 12), vector, np.float32)).places
    assert np.isfinite(places).all()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_features_does_not_matter(scale: float) -> None:
    """Features a million times as large or as small give a map that is as trustworthy."""
    vectors, _ = groups(200)
    assert trustworthiness(vectors, make_map(vectors * np.float32(scale)).places, n_neighbors=5) > 0.9


@pytest.mark.usefixtures("few_steps")
def test_a_seed_is_a_map() -> None:
    """The same seed gives the same places to the last bit, another one others."""
    vectors, _ = groups(150)
    assert np.array_equal(make_map(vectors, seed=3).places, make_map(vectors, seed=3).places)
    assert not np.array_equal(make_map(vectors, seed=3).places, make_map(vectors, seed=4).places)


SAME = """
import hashlib
from test_picture_map import groups, make_map, neighbour_embedding
neighbour_embedding.EXAGGERATED_STEPS, neighbour_embedding.STEPS = 20, 60
print(hashlib.sha256(make_map(groups(3000, n_features=300)[0]).places.tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.process
def test_the_number_of_threads_does_not_matter() -> None:
    """With one thread and with four, the map is the same to the last bit."""
    found = set()
    for n_threads in (1, 4):
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(n_threads))
        environment = os.environ | threads | {"PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run([sys.executable, "-c", SAME], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


def test_new_pictures_are_placed_among_their_like() -> None:
    """New pictures lie nearest to those of their own group; the old ones do not move."""
    old, of_old = groups(400)
    new, of_new = groups(200, seed=1)
    made = make_map(old)
    before = made.places.copy()
    placed = made.place(new)
    closest = ((placed[:, None] - made.places[None]) ** 2).sum(axis=-1).argmin(axis=1)
    assert (of_old[closest] == of_new).mean() > 0.98
    assert np.array_equal(made.places, before)
    grown = made.with_new(new)
    assert np.array_equal(grown.places, np.vstack([before, placed]))
    assert np.array_equal(made.place(old[:5]).round(2), made.places[:5].round(2))  # the same picture, the same place


def test_a_place_is_in_one_group_and_not_between_two() -> None:
    """A new picture with a few neighbours in another group is placed with most of them, not in the empty middle."""
    places = np.array([[0.1, 0.1]] * 6 + [[0.9, 0.9]] * 4, np.float32)
    place = picture_map._mean_where_most_are(places[None], np.full((1, 10), 0.1, np.float32))
    assert np.abs(place - 0.1).max() < 0.01


def test_more_than_are_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a number of pictures some are embedded and the others placed: the map is still better than principal components."""
    monkeypatch.setattr(picture_map, "EMBEDDED_IMAGES", 300)
    monkeypatch.setattr(picture_map, "FITTED_IMAGES", 200)
    vectors, _ = groups(900)
    made = make_map(vectors)
    of_map, of_components = (trustworthiness(vectors, two, n_neighbors=5) for two in (made.places, made.coordinates[:, :2]))
    assert of_map >= of_components + 0.1
    assert np.array_equal(made.places, make_map(vectors).places)


@pytest.mark.usefixtures("few_steps")
def test_progress_cancels() -> None:
    """Progress counts to its total; raising from it ends the work."""
    told: list[tuple[str, int, int]] = []
    make_map(groups(50)[0], progress=lambda *step: told.append(step))
    assert told[-1][1] == told[-1][2] == len(told)

    def cancel(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_map(groups(50)[0], progress=cancel)


def test_the_nearest_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of any size, the neighbours are those of the full table of distances; no point is its own."""
    points = np.random.default_rng(0).standard_normal((101, 7), dtype=np.float32)
    table = ((points[:, None].astype(float) - points[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(table, np.inf)
    wanted = np.argsort(table, axis=1)[:, :5]
    for n_distances in (1, 1000, 1 << 23):
        monkeypatch.setattr("headstart.labelling.nearest.BLOCK_DISTANCES", n_distances)
        found, squares = nearest(points, points, 5, is_among=True, workers=3)
        assert np.array_equal(found, wanted)
        assert np.allclose(squares, np.take_along_axis(table, wanted, axis=1), atol=1e-4)
    assert np.array_equal(np.sort(nearest(points[:2], points, 101)[0], axis=1), [np.arange(101)] * 2)


@pytest.mark.parametrize("span", [0.1, 5.0, 60.0])
def test_repulsion_is_that_of_all_pairs(span: float) -> None:
    """The sum on the grid is the sum over all pairs, to some per cent."""
    places = (span * np.random.default_rng(0).standard_normal((500, 2)) / 6).astype(np.float32)
    apart = places[:, None].astype(float) - places[None]
    near = 1 / (1 + (apart**2).sum(axis=-1))
    np.fill_diagonal(near, 0)
    wanted = (apart * near[..., None] ** 2).sum(axis=1) / near.sum()
    assert np.linalg.norm(repulsion(places) - wanted) < 0.1 * np.linalg.norm(wanted)


def test_components_are_the_principal_ones() -> None:
    """The randomised decomposition finds what a full one finds."""
    vectors = groups(300)[0] * np.linspace(3, 0.3, 80, dtype=np.float32)
    projection = fit_projection(vectors, np.random.default_rng(0))
    full = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2]
    assert np.allclose(np.abs((full[:10] * projection.components.T[:10]).sum(axis=1)), 1, atol=1e-3)


# Kept


@pytest.mark.usefixtures("few_steps")
def test_a_map_is_made_once(tmp_path: Path) -> None:
    """After a restart it is the same, in whatever order the pictures are asked for."""
    vectors, _ = groups(60)
    made = kept_map(tmp_path / "map.npz", "space", digests(60), vectors)
    told: list[object] = []
    again = kept_map(tmp_path / "map.npz", "space", digests(60)[::-1], vectors[::-1], progress=lambda *step: told.append(step))
    assert np.array_equal(again.places, made.places[::-1])
    assert told == []


@pytest.mark.usefixtures("few_steps")
def test_a_kept_map_grows(tmp_path: Path) -> None:
    """New pictures are placed and kept; pictures that are gone are left out; the old ones stay where they are."""
    vectors, _ = groups(90)
    file = tmp_path / "map.npz"
    first = kept_map(file, "space", digests(60), vectors[:60])
    grown = kept_map(file, "space", digests(80, first=10), vectors[10:])
    assert np.array_equal(grown.places[:50], first.places[10:])
    assert np.array_equal(grown.places[50:], first.place(vectors[60:]))
    assert np.array_equal(kept_map(file, "space", digests(90), vectors).places[10:], grown.places)


@pytest.mark.usefixtures("few_steps")
def test_a_map_of_other_pictures_is_made_anew(tmp_path: Path) -> None:
    """Most pictures new, another feature space, other features: a new map."""
    vectors, _ = groups(60)
    file = tmp_path / "map.npz"
    kept_map(file, "space", digests(10), vectors[:10])
    assert np.array_equal(kept_map(file, "space", digests(60), vectors).places, make_map(vectors).places)
    assert np.array_equal(kept_map(file, "other", digests(60), 2 * vectors).places, make_map(2 * vectors).places)
    with pytest.warns(HeadstartWarning, match="damaged"):
        assert kept_map(file, "other", digests(60), vectors[:, :40]).projection.mean.shape == (40,)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("damage", ["cut", "empty", "text", "flipped", "pickle"])
def test_a_damaged_map_is_made_anew(damage: str, tmp_path: Path) -> None:
    """It is said; nothing in the file is run as a program."""
    vectors, _ = groups(60)
    file = tmp_path / "map.npz"
    made = kept_map(file, "space", digests(60), vectors)
    sound = file.read_bytes()
    at = sound.index(made.places.tobytes()[:16])
    contents = {
        "cut": sound[: len(sound) // 2],
        "empty": b"",
        "text": b"a map",
        "flipped": sound[:at] + b"\1" + sound[at + 1 :],
    }
    if damage == "pickle":
        with file.open("wb") as opened:
            np.savez(opened, space=np.array([threading.Thread], dtype=object))
    else:
        file.write_bytes(contents[damage])
    with pytest.warns(HeadstartWarning, match="damaged"):
        again = kept_map(file, "space", digests(60), vectors)
    assert np.array_equal(again.places, made.places)
    assert np.array_equal(kept_map(file, "space", digests(60), vectors).places, made.places)
    assert map_file.FORM == picture_map.FORM
