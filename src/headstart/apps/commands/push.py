"""`headstart push`."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.apps.console import as_argument, command, note, print_json, say


@command
def push(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, the model folder in it, or an export folder.")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The repository: hf://user/name.")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody read it. Without this a new repository is private.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(metavar="NAME", help="The branch; made if there is none. Default: the main branch.")
    ] = None,
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="Of the commit. Default: what the model is.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Upload a model to the Hugging Face hub, with its model card.

    The files that the manifest names are checked and uploaded in one commit, with a README.md made from the manifest;
    nothing else in the folder is. If somebody else commits meanwhile, nothing is changed. A repository that everybody can read
    is refused without --public. The token is that of hf auth login or of HF_TOKEN. Needs pip install 'headstart[hub]'.

    Examples:

      headstart push runs/photos-probe-1 hf://user/photos

      headstart push photos-onnx hf://user/photos --revision onnx

      headstart push runs/photos-probe-1 hf://user/photos --public --message "more photographs of winter"
    """
    from headstart.artifact.hub_push import push_model

    pushed = push_model(model, address, public=public, revision=revision, message=message)
    done = pushed.committed
    if public and done.is_private:
        note(f"{done.url} is private, and stays so: change that in its settings")
    if json:
        print_json(
            {
                "format": 1,
                "url": done.url,
                "address": done.address,
                "commit": done.commit,
                "private": done.is_private,
                "new": done.is_new,
                "changed": done.has_changed,
                "files": list(pushed.files),
            }
        )
        return
    what = f"{len(pushed.files)} files" if done.has_changed else "nothing new: the files are there already"
    say(f"{done.url} ({'private' if done.is_private else 'public'}): {what}")
    say(f"  commit  {done.commit}")
    say(f"  next    headstart predict {as_argument(done.address)} IMAGE...")
