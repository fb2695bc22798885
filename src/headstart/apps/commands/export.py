"""`headstart export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headstart.apps.console import as_argument, check_here, command, note, print_json, progress_bars, say
from headstart.artifact.run_images import class_roots
from headstart.errors import SettingsError
from headstart.model.exported import ExportPrecision
from headstart.record.places import check_outside

if TYPE_CHECKING:
    from headstart.artifact.export import Exported
    from headstart.artifact.web_export import WebExported


@command
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, or the model folder in it.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the exported model.")],
    format: Annotated[
        Literal["onnx", "openvino", "litert", "web"],
        typer.Option(
            help="onnx runs everywhere; openvino is Intel's format; litert (TensorFlow Lite) is for phones and small boards; "
            "web is a page that runs the model in the browser."
        ),
    ] = "onnx",
    precision: Annotated[
        ExportPrecision, typer.Option(help="fp16 halves the size, int8 quarters it; the loss of accuracy is measured.")
    ] = "fp32",
    runtime: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For web: the .tgz or folder of onnxruntime-web, instead of the npm registry's."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download anything.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export at --output.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a model as one file for other programs, or as a web page, and check that it gives the same answers.

    Both the original and the exported model classify the images that the run was evaluated on, if they are still there, and a
    few generated images. In full precision all probabilities must agree within 0.0001, in a browser within 0.01 (numbers within
    as many standard deviations of those of the training images); otherwise nothing is written.

    Examples:

      headstart export runs/photos-probe-1 --output photos-onnx

      headstart export runs/photos-probe-1 --precision int8 --output photos-int8

      headstart export runs/photos-probe-1 --format litert --output photos-litert

      headstart export runs/photos-probe-1 --format web --output photos-web
    """
    check_here(output, "--output")
    check_outside(output, *class_roots(model))
    if format == "web":
        from headstart.artifact.web_export import export_web

        if precision != "fp32":
            raise SettingsError("a page has full precision", hint="leave out --precision")
        with progress_bars(quiet=json) as progress:
            page = export_web(model, output, runtime=runtime, offline=offline, overwrite=overwrite, progress=progress)
        _tell_page(page, as_json=json)
        return
    if runtime is not None:
        raise SettingsError("--runtime is for web pages", hint="--format web, or leave it out")
    from headstart.artifact.export import export_model

    with progress_bars(quiet=json) as progress:
        exported = export_model(model, output, format=format, precision=precision, overwrite=overwrite, progress=progress)
    _tell(exported, precision, as_json=json)


def _tell(exported: "Exported", precision: ExportPrecision, *, as_json: bool) -> None:
    parity, output = exported.parity, exported.folder
    _note_missing(parity.images)
    if as_json:
        print_json({"output": output.as_posix(), "file": exported.file.as_posix()} | parity.model_dump(mode="json"))
        return
    size_mb = sum(file.stat().st_size for file in output.glob(f"{exported.file.stem}.*")) / 1e6
    say(
        f"{exported.file} ({size_mb:.1f} MB) agrees with the original on {parity.same_label:.1%} of {parity.images} images "
        f"and {parity.odd_images} generated ones; {parity.difference(of_numbers=exported.of_numbers)}"
    )
    if precision != "fp32" and parity.accuracy_before is not None and parity.accuracy_after is not None:
        say(f"  accuracy  {parity.accuracy_after:.1%} instead of {parity.accuracy_before:.1%} on these images")
    say(f"  next      headstart predict {as_argument(output)} IMAGE...")


def _tell_page(page: "WebExported", *, as_json: bool) -> None:
    proof = page.proof
    if proof is None:
        note(f"not proven that the page answers as the model does: {page.unproven}; install Chromium and export again")
    else:
        _note_missing(proof.images)
    if as_json:
        found = proof.as_json() if proof else {}
        about = {"output": page.folder.as_posix(), "file": (page.folder / "index.html").as_posix(), "runtime": page.runtime}
        print_json(about | {"proven": proof is not None, "unproven": page.unproven or None} | found)
        return
    size = f"{page.folder} ({page.n_bytes / 1e6:.1f} MB)"
    if proof is None:
        say(f"{size} holds the page")
    else:
        refused = f"; it says of {proof.refused} that it cannot answer them" if proof.refused else ""
        say(
            f"{size} answers in the browser as the original on {proof.same_label:.1%} of {proof.images} images and "
            f"{proof.odd_images} generated ones{refused}; {proof.difference(of_numbers=page.of_numbers)}"
        )
    say(f"  next      python -m http.server --directory {as_argument(page.folder)}, or any web server")


def _note_missing(n_images: int) -> None:
    if not n_images:
        note("none of the run's images was found: checked on generated images only")
