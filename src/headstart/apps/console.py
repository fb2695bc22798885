"""How the commands talk: results on stdout; progress, notes and errors on stderr; one sentence and a hint where it fails."""

import _thread
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO

import typer

from headstart.errors import HeadstartError, SettingsError, explains_missing_packages
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.data.sources import Skipped

P = ParamSpec("P")
EXIT_ERROR, EXIT_CHECK_FAILED, EXIT_INTERRUPTED = 1, 3, 130
ASK_AGAIN_SECONDS = 0.05  # after a Ctrl-C that came in the middle of an import


def say(text: str = "") -> None:
    """A line of the result, on stdout."""
    print(text)


def note(text: str) -> None:
    """Something the user should know, on stderr."""
    print(f"note: {text}", file=sys.stderr)


def note_skipped(skipped: "Sequence[Skipped]") -> None:
    """The first files that were not used with their reasons, and how many more there are."""
    for entry in skipped[:5]:
        note(f"skipped {entry.path}: {entry.reason}")
    if len(skipped) > 5:
        note(f"skipped {len(skipped) - 5} more")


def print_json(value: Any) -> None:
    """Exactly one JSON object, on stdout."""
    print(json_line(value, sys.stdout))


def json_line(value: Any, file: TextIO) -> str:
    """`value` as JSON on one line; in ASCII alone where `file` cannot hold every letter, as a Windows pipe cannot."""
    takes_all = (file.encoding or "utf-8").lower().replace("-", "").startswith("utf")
    return json.dumps(value, ensure_ascii=not takes_all, allow_nan=False)


def as_argument(value: object) -> str:
    """A path as it is typed on a command line: quoted where it holds spaces or signs that mean something to a shell."""
    return subprocess.list2cmdline([str(value)]) if sys.platform == "win32" else shlex.quote(str(value))


def check_target(target: Path | None, inputs: Iterable[Path]) -> None:
    """Raises SettingsError where a result cannot be written to `target`, or would replace what it is made from."""
    if target is None:
        return
    if target.is_dir():
        raise SettingsError(f"{target} is a folder", hint="give the name of a file for the result")
    if not target.exists():
        return
    place = target.resolve()
    if any(path.resolve() == place for path in inputs):
        raise SettingsError(f"{target} is one of the images or tables that are read", hint="choose another name for the result")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Decorator of every command: what goes wrong becomes a sentence and an exit code."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        _speak_utf8()
        warnings.showwarning = _show_warning
        interrupts: list[int] = []
        try:
            with _noting(interrupts):
                explains_missing_packages("this command")(function)(*args, **kwargs)
                sys.stdout.flush()
        except HeadstartError as error:
            print(f"error: {error.message}", file=sys.stderr)
            if error.hint:
                print(f" hint: {error.hint}", file=sys.stderr)
            raise typer.Exit(EXIT_INTERRUPTED if interrupts else EXIT_ERROR) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            # The reader has seen enough (`| head`). Nothing more can be written, not even by the interpreter's last flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(EXIT_ERROR) from None
        except OSError as error:  # a full disk, a name that is too long, a folder that may not be written to
            place = f"{error.filename}: " if error.filename else ""
            print(f"error: {place}{error.strerror or error}", file=sys.stderr)
            print(" hint: check the path, its permissions and the space on the disk", file=sys.stderr)
            raise typer.Exit(EXIT_ERROR) from None
        except Exception:
            if not interrupts:
                raise
            # Ctrl-C while a package was being imported: some turn it into an error of their own.
            print("interrupted", file=sys.stderr)
            raise typer.Exit(EXIT_INTERRUPTED) from None

    return call


@contextmanager
def _noting(interrupts: list[int]) -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt as ever, and is noted in `interrupts`; during an import it waits for the import's end.

    Packages in C++ do not expect an exception while they set themselves up: torch's aborts the process, or makes CPython
    believe that nobody handled the interrupt, so that it ends itself with a signal in place of the exit code.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return

    def note_and_raise(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        if _is_importing(frame):
            again = threading.Timer(ASK_AGAIN_SECONDS, _interrupt_main)
            again.daemon = True
            again.start()
            return
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, note_and_raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt_main() -> None:
    """Ctrl-C anew; on POSIX as a true signal to the main thread, which also ends a call that waits."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a call on the stack below `frame` is the import of a module."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Progress]:
    """A progress function that draws bars on a terminal's stderr, and nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield progress


@contextmanager
def output_file(path: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that is written whole or not at all."""
    if path is None:
        yield sys.stdout
        return
    from headstart.storage import atomic_write

    with atomic_write(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        yield file


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    note(str(message))


def _speak_utf8() -> None:
    """Paths may hold any letters, whatever the terminal's encoding; what it cannot show is escaped, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
