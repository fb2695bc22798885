"""Measures what the studio promises: how fast it is, and how much its queues help.

    python benchmarks/studio.py refit wrong few map rows          arithmetic and simulations: ten minutes on two cores
    python benchmarks/studio.py keys pages --made /tmp/studio-100k    in headless Chromium; the first time also makes the images
    python benchmarks/studio.py decisions                         eight minutes, of which a processor is busy for one and a half

Parts:

- refit: seconds from a decision to the new order at 2,000 and 20,000 images, and how long decisions take beside the fits
- wrong: 5 % of the labels are flipped; how many of them somebody repairs who looks at twice as many images of the queue
- few: somebody labels 40 images that the queue asks for, from none; the accuracy of a probe on val
- map: of 2,000 and 20,000 images
- rows: a project of 1,000,000 made-up rows opens, and answers what the page asks
- keys: from a key to the next image shown, and to its label on disk, while a model is fitted after each
- pages: the same with 100,000 images, and filters, sorts and jumps to anywhere
- bulk: a decision on 100,000 made-up rows, and how long single keys of another window wait meanwhile
- decisions: 10,000 in two windows, 20 a second, while the server is killed twice: what is lost and what is wrong

Real images are those of --data, a folder with sign_digits and hymenoptera_data. Features are kept under HEADSTART_HOME. `pages`
makes 100,000 crops in the folder --made, 2 GB, and puts made-up features of them into the store beside it.
Prints a table with the bar of each figure and the load of the machine, and writes results/studio.json.
"""

import argparse
import json
import operator
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median

from studio_benches import Images, backbone, images_of

from headstart.model.pretrained import Backbone

RESULTS = Path(__file__).parent / "results" / "studio.json"
SIZES, MANY_ROWS, MANY_IMAGES, KILLS = (2_000, 20_000), 1_000_000, 100_000, 2
BARS = {
    "refit 2000: refit": 0.5,
    "refit 20000: refit": 3.0,
    "wrong sign_digits: repaired": -0.8,
    "wrong hymenoptera_data: repaired": -0.7,
    "few hymenoptera_data: probe": -0.9,
    "map 2000": 3.0,
    "map 20000": 20.0,
    "rows: open": 5.0,
    "rows: page, p99": 0.05,
    "keys: key to next image, p95": 0.1,
    "pages: key to next image, p95": 0.1,
    "pages: first tiles": 2.0,
    "pages: filter and sort, p95": 0.2,
    "pages: jump, thumbnails made, p95": 0.3,
    "pages: jump, thumbnails not made, p95": 1.0,
    "pages: peak memory, beside the audit, MB": 900.0,
    "bulk 100000: a key beside relabel, worst": 0.5,
    "bulk 100000: a key beside undo, worst": 0.5,
    "bulk 100000: a key beside redo, worst": 0.5,
    "decisions: lost": 0.0,
    "decisions: wrong": 0.0,
}  # at most; negative: at least


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that was measured."""

    name: str
    value: float
    load: float  # processes that wanted a processor, on average over a minute

    @property
    def verdict(self) -> str:
        """Whether it is what it must be."""
        bar = BARS.get(self.name)
        if bar is None:
            return ""
        meets, word = (operator.le, "at most") if bar >= 0 else (operator.ge, "at least")
        return f"{word} {abs(bar):g}: {'met' if meets(self.value, abs(bar)) else 'MISSED'}"


@dataclass(frozen=True, slots=True)
class Given:
    """What the parts work on."""

    data: Path
    made: Path
    seeds: int
    network: Backbone
    decisions: int
    rate: float  # decisions a second; 0: as fast as they are answered

    def images(self, name: str) -> Images:
        """A data set with its features."""
        return images_of(str(self.data / name), self.network)


def main() -> None:
    """Measures the parts that are asked for."""
    parts: dict[str, Callable[[Given], Iterator[tuple[str, float]]]] = {
        "refit": refit, "wrong": wrong, "few": few, "map": maps, "rows": rows, "keys": keys, "pages": pages,
        "bulk": bulk, "decisions": decisions,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=tuple(parts), metavar="PART", help=", ".join(parts))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of the data sets")
    parser.add_argument("--made", type=Path, default=Path("studio-100k"), help="the folder of the images that are made")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--decisions", type=int, default=10_000, help="of the part of that name")
    parser.add_argument("--rate", type=float, default=20.0, help="decisions a second; 0: as fast as they are answered")
    options = parser.parse_args()
    places = options.data.absolute(), options.made.absolute()
    given = Given(*places, options.seeds, backbone(), options.decisions, options.rate)
    figures = []
    for part in options.parts:
        for name, value in parts[part](given):
            figures.append(Figure(name, value, os.getloadavg()[0]))
            print(f"{name:60} {value:10.4g}   {figures[-1].verdict:24} load {figures[-1].load:.1f}", flush=True)
    known = {entry["name"]: entry for entry in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    known |= {figure.name: asdict(figure) for figure in figures}
    RESULTS.write_text(json.dumps(list(known.values()), indent=1) + "\n", encoding="utf-8")


def refit(given: Given) -> Iterator[tuple[str, float]]:
    """Fits beside decisions."""
    import studio_speeds

    for n in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            found = studio_speeds.refit(given.images("sign_digits"), given.network, n, Path(folder) / "project")
        yield from _named(f"refit {n}", found)


def wrong(given: Given) -> Iterator[tuple[str, float]]:
    """Wrong labels repaired."""
    import studio_reviewers

    for name in ("sign_digits", "hymenoptera_data"):
        images = given.images(name)
        found = [studio_reviewers.repair(images, given.network, seed).share for seed in range(given.seeds)]
        yield f"wrong {name}: repaired", median(found)
        yield f"wrong {name}: repaired, least", min(found)


def few(given: Given) -> Iterator[tuple[str, float]]:
    """A model from few labels."""
    import studio_reviewers

    images = given.images("hymenoptera_data")
    train, val = images.of_split("train"), images.of_split("val")
    found = [studio_reviewers.teach(train, val, given.network, seed) for seed in range(given.seeds)]
    probes = [taught.probe for taught in found]
    yield "few hymenoptera_data: probe", mean(probes)
    yield "few hymenoptera_data: probe, least", min(probes)
    yield "few hymenoptera_data: probe, share of seeds with 0.90", mean(probe >= 0.9 for probe in probes)
    yield "few hymenoptera_data: model beside", mean(taught.beside for taught in found)
    yield "few hymenoptera_data: labels at random", mean(taught.at_random for taught in found)
    yield "few hymenoptera_data: at random, share with 0.90", mean(taught.at_random >= 0.9 for taught in found)


def maps(given: Given) -> Iterator[tuple[str, float]]:
    """Maps."""
    import studio_speeds

    for n in SIZES:
        yield f"map {n}", studio_speeds.map_of(given.images("sign_digits"), n)


def rows(given: Given) -> Iterator[tuple[str, float]]:
    """Many rows."""
    import studio_speeds

    with tempfile.TemporaryDirectory() as folder:
        yield from _named("rows", studio_speeds.many_rows(given.network, MANY_ROWS, Path(folder) / "project"))


def keys(given: Given) -> Iterator[tuple[str, float]]:
    """Keys in the browser."""
    import studio_pages

    yield from _named("keys", studio_pages.keys_of(str(given.data / "sign_digits")))


def pages(given: Given) -> Iterator[tuple[str, float]]:
    """Many images in the browser, with a store of their own."""
    import studio_images
    import studio_pages

    images = given.images("sign_digits")
    before, home = os.environ.get("HEADSTART_HOME"), given.made.parent / f"{given.made.name}-home"
    os.environ["HEADSTART_HOME"] = str(home)
    try:
        studio_images.make_images(given.made, images, given.network, MANY_IMAGES)
        yield from _named("pages", studio_pages.many_images(given.made))
    finally:
        if before is None:
            del os.environ["HEADSTART_HOME"]
        else:
            os.environ["HEADSTART_HOME"] = before


def bulk(given: Given) -> Iterator[tuple[str, float]]:
    """Many rows at once."""
    import studio_bulk

    with tempfile.TemporaryDirectory() as folder:
        yield from _named(f"bulk {MANY_IMAGES}", studio_bulk.bulk(given.network, MANY_IMAGES, Path(folder) / "project"))


def decisions(given: Given) -> Iterator[tuple[str, float]]:
    """Decisions while the server is killed."""
    import studio_decisions

    found = studio_decisions.of_data(given.data / "hymenoptera_data", given.decisions, given.rate, KILLS)
    yield from _named("decisions", found)


def _named(part: str, found: dict[str, float]) -> Iterator[tuple[str, float]]:
    return ((f"{part}: {name}", value) for name, value in found.items())


if __name__ == "__main__":
    main()
