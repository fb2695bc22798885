"""`headstart export`."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.apps.console import as_argument, check_here, command, note, print_json, progress_bars, say
from headstart.artifact.run_images import class_roots
from headstart.model.exported import ExportFormat, ExportPrecision
from headstart.record.places import check_outside


@command
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder, or the model folder in it.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the exported model.")],
    format: Annotated[ExportFormat, typer.Option(help="onnx runs everywhere; openvino is Intel's format.")] = "onnx",
    precision: Annotated[
        ExportPrecision, typer.Option(help="fp16 halves the size, int8 quarters it; the loss of accuracy is measured.")
    ] = "fp32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export at --output.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a model as one file for other programs, and check that it gives the same answers.

    Both the original and the exported model classify the images that the run was evaluated on, if they are still there, and a
    few generated images. In full precision all probabilities must agree within 0.0001; otherwise nothing is written.

    Examples:

      headstart export runs/photos-probe-1 --output photos-onnx

      headstart export runs/photos-probe-1 --precision int8 --output photos-int8
    """
    from headstart.artifact.export import export_model

    check_here(output, "--output")
    check_outside(output, *class_roots(model))
    with progress_bars(quiet=json) as progress:
        exported = export_model(model, output, format=format, precision=precision, overwrite=overwrite, progress=progress)
    parity = exported.parity
    if not parity.images:
        note("none of the run's images was found: checked on generated images only")
    if json:
        print_json({"output": output.as_posix(), "file": exported.file.as_posix()} | parity.model_dump(mode="json"))
        return
    size_mb = sum(file.stat().st_size for file in output.glob(f"{exported.file.stem}.*")) / 1e6
    say(
        f"{exported.file} ({size_mb:.1f} MB) agrees with the original on {parity.same_label:.1%} of {parity.images} images "
        f"and {parity.odd_images} generated ones; probabilities differ by at most {parity.max_difference:.1e}"
    )
    if precision != "fp32" and parity.accuracy_before is not None and parity.accuracy_after is not None:
        say(f"  accuracy  {parity.accuracy_after:.1%} instead of {parity.accuracy_before:.1%} on these images")
    say(f"  next      headstart predict {as_argument(output)} IMAGE...")
