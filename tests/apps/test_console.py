"""How commands end: what is promised of Ctrl-C wherever it comes."""

import sys
import time
import warnings
from pathlib import Path

import pytest
import typer
from conftest import PATIENCE_SECONDS

from headstart.apps.console import EXIT_INTERRUPTED, command, note, say
from headstart.errors import DataError, HeadstartWarning

INTERRUPTS_ITSELF = "import signal\nsignal.raise_signal(signal.SIGINT)\nfinished = True\n"


def test_ctrl_c_waits_for_the_end_of_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the middle of an import lets the module finish, then ends the command with 130 and one word."""
    (tmp_path / "interrupts_itself.py").write_text(INTERRUPTS_ITSELF)
    monkeypatch.syspath_prepend(tmp_path)
    imported = []

    @command
    def loads_and_works() -> None:
        import interrupts_itself  # type: ignore[import-not-found]

        imported.append(interrupts_itself.finished)
        time.sleep(PATIENCE_SECONDS)
        imported.append("went on")

    with pytest.raises(typer.Exit) as ended:
        loads_and_works()
    assert ended.value.exit_code == EXIT_INTERRUPTED
    assert imported == [True]
    assert "interrupts_itself" in sys.modules
    assert capsys.readouterr().err == "interrupted\n"


def test_a_warning_is_noted_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where workers warn of the same as the command itself, from another place."""

    @command
    def warns() -> None:
        for text in ("the store is damaged", "the store is full", "the store is damaged"):
            warnings.warn(text, HeadstartWarning, stacklevel=1)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(warnings, "showwarning", warnings.showwarning)
        warnings.simplefilter("always")
        warns()
    assert capsys.readouterr().err == "note: the store is damaged\nnote: the store is full\n"


def test_names_do_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """A class or a path may be called anything, also what a terminal obeys."""

    @command
    def fails() -> None:
        say("a\x1b[31m\nb")
        note("the class '\x1b[2J\rbees\u202e' is small")
        raise DataError("there is no a\nb\x9b1m", hint="look at ä 🐝")

    with pytest.raises(typer.Exit):
        fails()
    told = capsys.readouterr()
    assert told.out == "a\\x1b[31m\nb\n"
    assert told.err.splitlines() == [
        "note: the class '\\x1b[2J\\rbees\\u202e' is small",
        "error: there is no a\\nb\\x9b1m",
        " hint: look at ä 🐝",
    ]
