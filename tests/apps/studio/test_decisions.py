"""Many decisions in two windows while the studio is killed: the program of benchmarks/ whose full version takes minutes."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import COLOURS

from apps.studio.conftest import Studio, draw
from headstart.data.decided import UNDO, Change, Decision, ImageKey, State

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """It."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield import_module("studio_decisions")


@pytest.mark.process
def test_no_decision_is_lost_or_wrong(program: ModuleType, open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """Labels, exclusions, several at once, undo and redo: log, rows, tables and windows agree, also on conflicts."""
    data = draw(tmp_path / "shapes", dict.fromkeys(COLOURS, 40))

    def start() -> object:
        studio = open_studio(data, scanned=False)
        return program.Started(studio.url, studio.process)

    found = program.decide(start, tmp_path / "project", 240, rate=0, kills=2)
    assert found.problems == []
    assert found.figures["acknowledged"] > 200 and found.figures["told as conflicts"] > 0


ANT, BEE, WASP = State("ant"), State("bee"), State("wasp")


def entry(
    number: int, row: int, old: State, new: State, *, who: str, why: str = "relabel", undoes: int | None = None
) -> Decision:
    return Decision(number, 0.0, who, why, (Change(ImageKey("", f"{row}.png"), old, new),), undoes)


def wish(row: int, label: str | None, expected: int = 0) -> dict[str, Any]:
    return {"rows": [row], "why": "relabel", "label": label, "expected": expected}


ENTRIES = [
    entry(1, 0, ANT, BEE, who="ada"),
    entry(2, 1, ANT, WASP, who="bob"),
    entry(3, 0, BEE, WASP, who="bob"),
    entry(4, 0, WASP, BEE, who="bob", why=UNDO, undoes=3),
]
TOLD = [  # (who, which, what was wanted, what was answered)
    ("ada", "decisions", wish(0, "bee"), 1),
    ("bob", "decisions", wish(1, "wasp"), 2),
    ("bob", "decisions", wish(0, "wasp", expected=2), 3),
    ("bob", "undo", {}, 4),
]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda entries, told: None, ""),
        (lambda entries, told: entries.pop(), "lost"),
        (lambda entries, told: told.pop(), "nobody"),
        (lambda entries, told: told.__setitem__(0, ("ada", "decisions", wish(0, "wasp"), 1)), "not what was wanted"),
        (lambda entries, told: told.__setitem__(0, ("ada", "decisions", wish(1, "bee"), 1)), "about rows"),
        (lambda entries, told: told.__setitem__(2, ("bob", "decisions", wish(0, "wasp"), 3)), "had not seen"),
        (lambda entries, told: told.__setitem__(3, ("bob", "redo", {}, 4)), "redo was wanted"),
        (lambda entries, told: entries.__setitem__(3, entry(4, 1, WASP, ANT, who="bob", why=UNDO, undoes=2)), "not next"),
        (lambda entries, told: entries.__setitem__(1, entry(2, 1, BEE, WASP, who="bob")), "was so before"),
        (lambda entries, told: entries.reverse(), "has the number"),
    ],
)
def test_the_account_finds_what_is_wrong(program: ModuleType, change: Callable[[list[Any], list[Any]], Any], told: str) -> None:
    """A decision that is lost, made twice, changed, over another one that was not seen, or taken back out of turn is told."""
    entries, answers = list(ENTRIES), list(TOLD)
    change(entries, answers)
    windows = {who: program.Window(who, 0, 0, seed=0) for who in ("ada", "bob")}
    request = import_module("studio_window").Request
    for who, kind, wanted, number in answers:
        windows[who].requests.append(request(kind, wanted, "", {"decision": number}))
    account = program.Account([ANT, ANT], {"0.png": 0, "1.png": 1})
    account.check(entries, list(windows.values()))
    found = [*(f"lost: {sentence}" for sentence in account.lost), *account.wrong]
    assert any(told in sentence for sentence in found) if told else found == []
