"""`headstart verify`."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.addresses.address import shown_place
from headstart.apps.console import command, note, print_json, say


@command
def verify(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, the model folder in it, or an export folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check that a model is intact and works, for example after copying it.

    Checks the manifest, the digest of each file, the shape of every tensor, and the answers to a few generated images. If
    something is wrong, it says what and ends with exit code 1. Files that are not part of the model are listed; they are not an
    error.

    Examples:

      headstart verify runs/photos-probe-1

      headstart verify photos-onnx --json
    """
    from headstart.artifact.verification import extra_files, verify_model

    passed: list[dict[str, str]] = []
    files: list[str] = []
    for check in verify_model(model):
        passed.append({"check": check.check, "found": check.found})
        files += check.files
        if not json:
            say(f"  {check.check:<8}  {check.found}")
    extra = extra_files(model, files)
    if extra:
        note(f"not part of the model: {', '.join(extra)}")
    if json:
        print_json({"format": 1, "model": shown_place(model), "checks": passed, "extra_files": list(extra)})
        return
    say(f"{shown_place(model)} is intact")
