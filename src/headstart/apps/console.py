"""What the commands print: results on stdout; progress, notes and errors on stderr; a failure is one sentence and a hint."""

import _thread
import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO

import typer

from headstart.addresses.address import address_in, shown
from headstart.errors import HeadstartError, SettingsError, explains_missing_packages
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.data.image_files import ImageFile
    from headstart.data.sources import Skipped

P = ParamSpec("P")
# Control characters, as of terminals' escape sequences and newlines, and those that turn the direction of writing.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
EXIT_ERROR, EXIT_CHECK_FAILED, EXIT_INTERRUPTED = 1, 3, 130
ASK_AGAIN_SECONDS = 0.05  # after a Ctrl-C during an import


def say(text: str = "") -> None:
    """Prints a line of the result to stdout, or several."""
    print("\n".join(map(on_one_line, text.split("\n"))))


def note(text: str) -> None:
    """Prints something the user should know to stderr."""
    print(f"note: {on_one_line(text)}", file=sys.stderr)


def on_one_line(text: str) -> str:
    """A text that may hold names which somebody else has chosen: none moves the cursor, changes colours or hides text."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def note_skipped(skipped: "Sequence[Skipped]") -> None:
    """Notes the first files that were not used, with reasons, and how many more there are."""
    for entry in skipped[:5]:
        note(f"skipped {entry.path}: {entry.reason}")
    if len(skipped) > 5:
        note(f"skipped {len(skipped) - 5} more")


def print_json(value: Any) -> None:
    """Prints exactly one JSON object to stdout."""
    print(json_line(value, sys.stdout))


def json_line(value: Any, file: TextIO) -> str:
    """`value` as JSON on one line; only ASCII if `file` cannot encode every character, such as a pipe on Windows."""
    takes_all = (file.encoding or "utf-8").lower().replace("-", "").startswith("utf")
    return json.dumps(value, ensure_ascii=not takes_all, allow_nan=False)


def as_argument(value: object) -> str:
    """A path as it is typed on a command line: quoted if it contains spaces or characters special to a shell."""
    return subprocess.list2cmdline([str(value)]) if sys.platform == "win32" else shlex.quote(str(value))


def as_named(path: Path) -> str:
    """A path as the user would name it: an address with both slashes, and without secrets."""
    address = address_in(path)
    return str(path) if address is None else shown(address)


def check_here(place: Path | None, option: str) -> None:
    """Raises SettingsError for an address where a folder of this machine is needed."""
    address = None if place is None else address_in(place)
    if address is not None:
        raise SettingsError(f"{option} cannot be an address: {shown(address)}", hint="name a folder of this machine")


def check_target(
    target: Path | None,
    inputs: "Iterable[ImageFile]" = (),
    *,
    overwrite: bool,
    endings: Sequence[str] = (),
    option: str = "--output",
) -> None:
    """Raises SettingsError if a result cannot be written to `target`: it is one of the inputs, exists already (without
    `overwrite`), is a folder, or has an ending other than the given ones.
    """
    if target is None:
        return
    address = address_in(target)
    if address is not None:
        _check_address(address, overwrite=overwrite, endings=endings, option=option)
        return
    if target.is_dir():
        raise SettingsError(f"{target} is a folder", hint="give a file name for the result")
    from headstart.data.image_files import whole_file

    place = target.resolve()
    if target.exists() and any(whole_file(path).resolve() == place for path in inputs):
        raise SettingsError(f"{target} is one of the input images or tables", hint="choose another name for the result")
    if endings and target.suffix.lower() not in endings:
        raise SettingsError(f"{target} does not end in {' or '.join(endings)}", hint=f"give {option} a name that does")
    if target.is_file() and not overwrite:  # a pipe or /dev/stdout is no earlier result
        raise SettingsError(f"{target} already exists", hint=f"choose another {option}, or pass --overwrite")


def _check_address(address: str, *, overwrite: bool, endings: Sequence[str], option: str) -> None:
    from headstart.addresses.filesystems import about

    if endings and not address.lower().endswith(tuple(endings)):
        raise SettingsError(f"{shown(address)} does not end in {' or '.join(endings)}", hint=f"give {option} a name that does")
    if not overwrite and about(address) is not None:
        raise SettingsError(f"{shown(address)} already exists", hint=f"choose another {option}, or pass --overwrite")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Decorator of every command: turns errors into a sentence and an exit code."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        _speak_utf8()
        warnings.showwarning = partial(_show_warning, set())
        interrupts: list[int] = []
        try:
            with _noting(interrupts):
                explains_missing_packages("this command")(function)(*args, **kwargs)
                sys.stdout.flush()
        except HeadstartError as error:
            print(f"error: {on_one_line(error.message)}", file=sys.stderr)
            if error.hint:
                print(f" hint: {on_one_line(error.hint)}", file=sys.stderr)
            raise typer.Exit(EXIT_INTERRUPTED if interrupts else EXIT_ERROR) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            # The reader has closed the pipe (`| head`). Nothing more can be written, not even by the interpreter's last flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(EXIT_ERROR) from None
        except OSError as error:  # a full disk, a name that is too long, a folder without write permission
            place = f"{error.filename}: " if error.filename else ""
            print(f"error: {place}{error.strerror or error}", file=sys.stderr)
            print(f" hint: {_remedy(error)}", file=sys.stderr)
            raise typer.Exit(EXIT_ERROR) from None
        except Exception:
            if not interrupts:
                raise
            # Ctrl-C while a package was being imported: some packages turn it into their own error.
            print("interrupted", file=sys.stderr)
            raise typer.Exit(EXIT_INTERRUPTED) from None

    return call


def _remedy(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "free some space on this disk, or choose a place on another one"
    return "check the path, its permissions and the free disk space"


@contextmanager
def _noting(interrupts: list[int]) -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt as usual and is noted in `interrupts`; during an import it waits until the import ends.

    C++ packages do not expect an exception while they are being initialised: torch aborts the process, or makes CPython
    believe that nobody handled the interrupt, so that the process ends with a signal instead of the exit code.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread handles signals
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
    """Sends Ctrl-C again; on POSIX as a real signal to the main thread, which also ends a blocking call."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _is_importing(frame: FrameType | None) -> bool:
    """Whether `frame` or one of its callers is importing a module."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Progress]:
    """A progress function that draws bars if stderr is a terminal, and does nothing otherwise."""
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
    """stdout, or a file that is written completely or not at all, also at an address."""
    if path is None:
        yield sys.stdout
        return
    from headstart.addresses.targets import target_file
    from headstart.storage import atomic_write

    with target_file(path) as place, atomic_write(place) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        yield file


def _show_warning(shown: set[str], message: Warning | str, *_: Any, **__: Any) -> None:
    """Notes it, unless it was `shown`: a worker may warn of the same as this process."""
    if str(message) not in shown:
        shown.add(str(message))
        note(str(message))


def _speak_utf8() -> None:
    """Escapes characters that the terminal's encoding cannot show, as paths may contain any, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
