"""Frames of one scene are found, however many there are; pictures that are only of a kind are not."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from headstart.audit.neighbourhoods import OfFew
from headstart.audit.neighbours import nearest_pairs
from headstart.audit.points import points_of_few
from headstart.audit.registration import likeness
from headstart.audit.scenes import MANY_FRAMES, _Compared, _scenes, frame_pairs
from headstart.audit.twins import find_twins
from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts, facts_of
from headstart.data.images import decode
from headstart.data.miniatures import SIDE
from headstart.data.splits import groups_of
from headstart.model.kept_miniatures import Miniatures
from headstart.storage import sha256_of_file

Picture = Callable[[np.random.Generator], Image.Image]


def view(rng: np.random.Generator, side: int = 160) -> Image.Image:
    """A picture like no other, coarse and fine: what a photograph is to a hash."""
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        )
        for n in (4, 12, 36)
    ]
    return Image.fromarray(np.average(layers, axis=0, weights=(3, 2, 2)).astype(np.uint8))


def shape(rng: np.random.Generator, side: int = 96) -> Image.Image:
    """A drawing: one disk on a noisy ground."""
    image = Image.fromarray((rng.integers(0, 90, 3) + rng.normal(0, 14, (side, side, 3))).clip(0, 255).astype(np.uint8))
    r = int(rng.integers(side // 5, side // 3))
    x, y = (int(v) for v in rng.integers(r, side - r, 2))
    ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=tuple(int(v) for v in rng.integers(150, 256, 3)))
    return image


def frame(image: Image.Image, rng: np.random.Generator, shift: float = 0.05) -> Image.Image:
    """The picture, shifted, zoomed, brightened and with noise of its own."""
    width, height = image.size
    zoom = 0.85 * (1 + rng.uniform(-0.04, 0.04))
    x, y = (width * ((1 - zoom) / 2 + rng.uniform(-shift, shift)) for _ in range(2))
    part = image.resize(image.size, Image.Resampling.BILINEAR, box=(x, y, x + zoom * width, y + zoom * height))
    noise = rng.normal(0, 3, (height, width, 3))
    noisy = Image.fromarray((np.asarray(part) + noise).clip(0, 255).astype(np.uint8))
    return ImageEnhance.Brightness(noisy).enhance(1 + rng.uniform(-0.1, 0.1))


def scanned(
    folder: Path, pictures: Sequence[Image.Image], labels: Sequence[str], splits: Sequence[str | None] | None = None
) -> tuple[list[LabelledImage], list[ImageFacts], np.ndarray]:
    """Pictures as a scan finds them; their features are the mean colours of a grid."""
    images, facts, vectors = [], [], []
    for i, picture in enumerate(pictures):
        file = folder / f"{i}.jpg"
        picture.save(file, quality=85 + i % 10)
        decoded = decode(file.read_bytes())
        split = splits[i] if splits else None
        images.append(LabelledImage(str(i), file, labels[i], split, None, sha256_of_file(file), decoded.width, decoded.height))
        facts.append(facts_of(decoded))
        vectors.append(np.asarray(decoded.rgb.resize((6, 6), Image.Resampling.BOX)).ravel())
    return images, facts, np.array(vectors, np.float32)


def groups_among(folder: Path, pictures: Sequence[Image.Image]) -> np.ndarray:
    """The groups of pictures of one class."""
    images, facts, vectors = scanned(folder, pictures, ["a"] * len(pictures))
    return groups_of(images, find_twins(images, facts, vectors).pairs())


@pytest.mark.parametrize(("picture", "mixed"), [(view, 0.0), (shape, 0.25)])
@pytest.mark.parametrize(("scenes", "frames"), [(24, 2), (12, 5), (3, 60)])
def test_a_burst_is_one_group(picture: Picture, mixed: float, scenes: int, frames: int, tmp_path: Path) -> None:
    """Nearly all frames of a scene are linked, be there 2 or 60, and few scenes are, of drawings that happen to be alike."""
    rng = np.random.default_rng(0)
    pictures = [frame(one, rng) for one in [picture(rng) for _ in range(scenes)] for _ in range(frames)]
    scene = np.repeat(np.arange(scenes), frames)
    groups = groups_among(tmp_path, pictures)
    in_largest = [np.bincount(groups[scene == one]).max() for one in range(scenes)]
    assert np.mean(np.array(in_largest) > 0.95 * frames) > 0.95
    assert np.mean([len(np.unique(scene[groups == group])) > 1 for group in np.unique(groups)]) <= mixed


def test_a_video_is_one_group(tmp_path: Path) -> None:
    """The frames of a slow pan are one group, although its first and last have little in common."""
    rng = np.random.default_rng(1)
    pictures = []
    for _ in range(4):
        wide = view(rng, 400)
        pictures += [wide.crop((4 * t, 2 * t, 4 * t + 200, 2 * t + 200)) for t in range(40)]
    groups = groups_among(tmp_path, pictures)
    assert [len(np.unique(groups[40 * i : 40 * i + 40])) for i in range(4)] == [1] * 4
    assert len(np.unique(groups)) == 4


def of_a_kind(rng: np.random.Generator) -> Image.Image:
    """A thing of a kind: the same ground and outline for all, with what differs from one to the next."""
    image = Image.new("RGB", (96, 96), (205, 205, 210))
    draw = ImageDraw.Draw(image)
    draw.ellipse((28, 40, 68, 90), fill=(190, 140, 110))
    for x in (30, 40, 50, 60):
        tip = int(rng.integers(4, 34))
        lean = int(rng.integers(-6, 7))
        draw.line((x + 3, 60, x + lean + 3, tip), fill=(190, 140, 110), width=8)
    return Image.fromarray((np.asarray(image) + rng.normal(0, 4, (96, 96, 3))).clip(0, 255).astype(np.uint8))


def test_things_of_a_kind_are_no_burst(tmp_path: Path) -> None:
    """Pictures that look alike without a gap between these and those are hardly linked, and never all of them."""
    rng = np.random.default_rng(2)
    groups = groups_among(tmp_path, [of_a_kind(rng) for _ in range(150)])
    sizes = np.bincount(groups)
    assert (sizes[groups] > 1).mean() < 0.1
    assert sizes.max() <= 3


def test_frames_with_two_labels(tmp_path: Path) -> None:
    """What differs in its label is not linked as frames of one scene: no conflict comes from looking alike."""
    rng = np.random.default_rng(3)
    pictures = [frame(one, rng) for one in [view(rng) for _ in range(10)] for _ in range(6)]
    images, facts, vectors = scanned(tmp_path, pictures, ["a", "a", "a", "b", "b", "b"] * 10)
    first, second, _ = frame_pairs(images, facts, OfFew(points_of_few(vectors, facts)), Miniatures(images))
    assert (first // 3 == second // 3).all()
    assert len(first) == 40


def test_each_frame_is_paired_with_one_in_every_split(tmp_path: Path) -> None:
    """Of a scene that is in train and val, each val frame has a twin in train, and the reverse: leaks are told of all."""
    rng = np.random.default_rng(4)
    pictures = [frame(one, rng) for one in [view(rng) for _ in range(5)] for _ in range(10)]
    splits = ["train", "train", "val", "train", "test"] * 10
    twins = find_twins(*scanned(tmp_path, pictures, ["a"] * 50, splits))
    seen = {(i, splits[j]) for pair in twins.pairs() for i, j in (pair, pair[::-1])}
    assert seen >= {(i, split) for i in range(50) for split in ("train", "val", "test") if split != splits[i]}


def test_a_file_that_is_gone_is_not_compared(tmp_path: Path) -> None:
    """A file that was removed since the scan is nobody's twin by its looks, and stops nothing."""
    rng = np.random.default_rng(5)
    pictures = [frame(one, rng) for one in [view(rng) for _ in range(6)] for _ in range(2)]
    images, facts, vectors = scanned(tmp_path, pictures, ["a"] * 12)
    images[0].file.unlink()
    assert (2, 3) in find_twins(images, facts, vectors).pairs()


@pytest.mark.parametrize("n", [1, 2])
def test_few_pictures(n: int, tmp_path: Path) -> None:
    """One picture, or two that are unlike, have no twins, and are no error."""
    pictures = [view(np.random.default_rng(i)) for i in range(n)]
    assert not len(find_twins(*scanned(tmp_path, pictures, ["a"] * n)))


def test_in_a_set_of_one_kind_frames_are_told_and_not_glued(tmp_path: Path) -> None:
    """Where most pictures have a neighbour as alike as frames are, two that lie apart may be frames: a crowd, no group."""
    rng = np.random.default_rng(5)
    ground = view(rng, 96)
    kind = [frame(ground, rng, shift=0.01) for _ in range(2)]
    others = [Image.blend(ground, view(rng, 96), 0.4) for _ in range(60)]
    pictures = [*kind, *others]
    images, facts, vectors = scanned(tmp_path, pictures, ["a"] * len(pictures))
    first, _, crowd = frame_pairs(images, facts, OfFew(points_of_few(vectors, facts)), Miniatures(images))
    assert not len(first)
    assert crowd[0] == crowd[1] >= 0
    apart = [*kind, *(view(rng, 96) for _ in range(60))]
    images, facts, vectors = scanned(tmp_path, apart, ["a"] * len(apart))
    first, second, crowd = frame_pairs(images, facts, OfFew(points_of_few(vectors, facts)), Miniatures(images))
    assert (first.tolist(), second.tolist()) == ([0], [1])
    assert (crowd == -1).all()


def chain(n: int, link: float, start: int = 0) -> list[tuple[int, int, float]]:
    return [(start + i, start + i + 1, link) for i in range(n - 1)]


def scenes_of(
    n: int, links: list[tuple[int, int, float]], *, is_strong: bool = True, is_laid_out: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    first, second, alike = (np.array(column) for column in zip(*links, strict=True))
    return _scenes(n, _Compared(first, second, alike, np.full(len(links), is_strong), np.full(len(links), is_laid_out)))


def test_a_cluster_needs_a_gap() -> None:
    """A cluster that lies apart is a scene; where the next picture is always only a little less alike, there is none."""
    assert scenes_of(5, [*chain(4, 0.8), (3, 4, 0.3)])[0].tolist() == [0, 0, 0, 0, 4]
    falling = [(i, i + 1, 0.75 - 0.05 * i) for i in range(9)]
    assert scenes_of(10, falling)[0].tolist() == list(range(10))


def test_two_pictures_alone_need_more_than_three() -> None:
    """Two that are alike by layout alone need a wide gap; if not even the layout agrees they are no scene; three are."""
    crowded, apart = [(0, 1, 0.72), (1, 2, 0.5), (2, 3, 0.39)], [(0, 1, 0.72), (1, 2, 0.3), (2, 3, 0.3)]
    assert scenes_of(4, crowded)[0].tolist() == [0, 0, 2, 3]
    assert scenes_of(4, crowded, is_strong=False)[0].tolist() == [0, 1, 2, 3]
    assert scenes_of(4, apart, is_strong=False)[0].tolist() == [0, 0, 2, 3]
    assert scenes_of(4, apart, is_strong=False, is_laid_out=False)[0].tolist() == [0, 1, 2, 3]
    three = [(0, 1, 0.72), (1, 2, 0.7), (2, 3, 0.3)]
    assert scenes_of(4, three, is_strong=False, is_laid_out=False)[0].tolist() == [0, 0, 0, 3]


def test_a_scene_within_a_class_that_looks_alike() -> None:
    """The frames of one scene are found within a class whose pictures are all somewhat alike, and the class is no scene."""
    falling = [(i, i + 1, 0.6 - 0.01 * (i - 4)) for i in range(4, 33)]
    scene, crowd = scenes_of(34, [*chain(5, 0.9), *falling])
    assert scene.tolist() == [0] * 5 + list(range(5, 34))
    assert (crowd == -1).all()


def test_a_crowd_that_may_be_a_scene_is_told_and_not_glued() -> None:
    """More pictures than a burst has, alike but not nearly equal, are a crowd, and no group; nearly equal ones are a scene."""
    n = MANY_FRAMES + 20
    scene, crowd = scenes_of(n, chain(n, 0.6))
    assert len(set(scene)) == n
    assert (crowd == 0).all()
    scene, crowd = scenes_of(n, chain(n, 0.85))
    assert len(set(scene)) == 1
    assert (crowd == -1).all()


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def test_likeness() -> None:
    """Near 1 for a picture itself, high where it was shifted, zoomed and brightened, near 0 for another."""
    rng = np.random.default_rng(6)
    one, other = view(rng), view(rng)
    pictures = np.stack([grey(picture) for picture in (one, frame(one, rng), frame(one, rng), other, one)])
    alike = likeness(pictures, np.array([0, 1, 0, 1]), np.array([4, 2, 3, 3]))
    assert alike[0] == pytest.approx(1, abs=1e-3)
    assert alike[1] > 0.5
    assert alike[2:].max() < 0.3
    flat = np.full((2, SIDE, SIDE), 128, np.uint8)
    assert np.isfinite(likeness(flat, np.array([0]), np.array([1]))).all()


def slow_likeness(one: np.ndarray, other: np.ndarray, width: int, noise: float) -> float:
    """The correlation of the details of two pictures where they overlap, at the best of all shifts, pixel by pixel."""

    def details(picture: np.ndarray) -> np.ndarray:
        def means(values: np.ndarray) -> np.ndarray:
            wide = np.pad(values, width // 2, mode="edge")
            return np.lib.stride_tricks.sliding_window_view(wide, (width, width)).mean(axis=(2, 3))

        apart = picture - means(picture)
        found = apart / (np.sqrt(means(apart**2)) + noise)
        return found - found.mean()

    first, second, side = details(one), details(other), len(one)
    reach, best = round(0.2 * side), -1.0
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            a = first[max(down, 0) : side + min(down, 0), max(right, 0) : side + min(right, 0)]
            b = second[max(-down, 0) : side + min(-down, 0), max(-right, 0) : side + min(-right, 0)]
            best = max(best, float(np.corrcoef(a.ravel(), b.ravel())[0, 1]))
    return best


def test_likeness_is_the_correlation_at_the_best_shift() -> None:
    """Transforms as matrix products give what comparing pixel by pixel gives, coarse for the unlike and fine for the alike."""
    rng = np.random.default_rng(8)
    one = view(rng)
    pictures = np.stack([grey(one), grey(one.crop((12, 5, 160, 153))), grey(view(rng))])
    fine, coarse = likeness(pictures, np.array([0, 0]), np.array([1, 2]))
    exact = pictures.astype(np.float64)
    small = exact.reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
    assert coarse < 0.25 and coarse == pytest.approx(slow_likeness(small[0], small[2], 7, 8.0), abs=1e-4)
    assert fine > 0.4
    same_zoom = likeness(pictures[:1].repeat(2, axis=0), np.array([0]), np.array([1]))[0]
    assert same_zoom == pytest.approx(slow_likeness(exact[0], exact[0], 9, 4.0), abs=1e-4)
    shifted = np.stack([exact[0], np.roll(exact[0], (4, -3), axis=(0, 1))]).astype(np.uint8)
    found = likeness(shifted, np.array([0]), np.array([1]))[0]
    assert found == pytest.approx(slow_likeness(*shifted.astype(np.float64), 9, 4.0), abs=1e-4) and found > 0.5


def test_likeness_does_not_depend_on_the_others() -> None:
    """A pair has the same likeness alone and among thousands, and whichever comes first."""
    rng = np.random.default_rng(7)
    pictures = np.stack([grey(frame(picture, rng)) for picture in [view(rng) for _ in range(8)] for _ in range(4)])
    one, other = np.triu_indices(32, 1)
    many = likeness(pictures, np.tile(one, 6), np.tile(other, 6))
    assert np.allclose(many, np.tile(likeness(pictures, other, one), 6), atol=1e-4)
    assert np.allclose(many[:5], [likeness(pictures, one[i : i + 1], other[i : i + 1])[0] for i in range(5)], atol=1e-4)


def test_nearest_pairs() -> None:
    """Among many points nearly all of the nearest are found, each pair once, and none of those that are to be kept apart."""
    rng = np.random.default_rng(8)
    points = (rng.normal(size=(400, 20)) + np.repeat(5 * rng.normal(size=(40, 20)), 10, axis=0)).astype(np.float32)
    first, second = nearest_pairs(points, 3, 8, np.random.default_rng(0))
    assert (first < second).all()
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(first)
    between = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(between, np.inf)
    wanted = {(min(i, j), max(i, j)) for i in range(400) for j in np.argsort(between[i])[:3].tolist()}
    assert len(wanted & set(zip(first.tolist(), second.tolist(), strict=True))) > 0.95 * len(wanted)
    apart = np.arange(400) // 10
    first, second = nearest_pairs(points, 3, 8, np.random.default_rng(0), apart)
    assert (apart[first] != apart[second]).all()
    assert set(first) | set(second) == set(range(400))
