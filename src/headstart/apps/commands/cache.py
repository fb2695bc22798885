"""`headstart cache`."""

import shutil
from typing import Annotated

import typer

from headstart.apps.console import command, say
from headstart.errors import explains_missing_packages
from headstart.model.compiled import compiled_forms
from headstart.storage import home


@command
def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove what is stored of images (features, facts, small pictures) without asking.")
    ] = False,
    all: Annotated[bool, typer.Option("--all", help="With --clear: also remove the compiled networks.")] = False,
) -> None:
    """Show where what was computed of images is stored (features, facts, small pictures) and its size, or remove it.

    Everything in the cache can be computed again. Set HEADSTART_HOME to move it, and HEADSTART_CACHE_LIMIT (default 10 GB) to
    limit its size: what was not used for the longest time is removed first.

    Examples:

      headstart cache

      headstart cache --clear
    """
    if all and not clear:
        raise typer.BadParameter("it needs --clear", param_hint="--all")
    _show_or_clear(clear, all)


@explains_missing_packages("the cache")
def _show_or_clear(clear: bool, all: bool) -> None:
    from headstart.model.feature_store import cache_limit, clear_store, store_size
    from headstart.model.thumbnails import clear_thumbnails, thumbnails_size

    sizes = store_size()
    n_thumbnails, thumbnail_bytes = thumbnails_size()
    compiled = compiled_forms()
    limit = cache_limit()
    if clear:
        clear_store()
        clear_thumbnails()
        freed = thumbnail_bytes + sum(n_bytes for _, n_bytes in sizes.values())
        if all:
            for folder, n_bytes in compiled:
                shutil.rmtree(folder)
                freed += n_bytes
        say(f"removed  {_megabytes(freed)}")
        return
    say(f"place      {home()}")
    for kind, (n_files, n_bytes) in sizes.items():
        say(f"{kind:<10} {_megabytes(n_bytes):>10} in {_count(n_files, 'file')}")
    say(f"thumbnails {_megabytes(thumbnail_bytes):>10} of {_count(n_thumbnails, 'image')}")
    say(f"compiled   {_megabytes(sum(n for _, n in compiled)):>10} in {_count(len(compiled), 'network')}")
    say(f"limit      {_megabytes(limit):>10} of all but the compiled networks (HEADSTART_CACHE_LIMIT)")


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
