"""`headstart verify`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headstart.apps.console import command, note, print_json, say


@command
def verify(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, the model folder in it, or an export folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check that a model is whole and answers: after a copy, before it is put to use.

    The manifest, the digest of each file, every tensor's shape, and answers to odd images made on the spot. Exit code 1 and a
    sentence where something is wrong. Files that are no part of the model are named, and no error.

    Examples:

      headstart verify runs/photos-probe-1

      headstart verify photos-onnx --json
    """
    from headstart.artifact.verification import extra_files, verify_model

    passed = []
    for check in verify_model(model):
        passed.append(asdict(check))
        if not json:
            say(f"  {check.check:<8}  {check.found}")
    extra = extra_files(model)
    if extra:
        note(f"no part of the model: {', '.join(extra)}")
    if json:
        print_json({"format": 1, "model": model.as_posix(), "checks": passed, "extra_files": list(extra)})
        return
    say(f"{model} is whole")
