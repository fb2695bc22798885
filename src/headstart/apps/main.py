"""The `headstart` command: lists its commands and loads only the module of the one that is called."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from headstart import __version__
from headstart.apps.console import EXIT_INTERRUPTED

# Command -> what `headstart --help` says about it. Each lives in apps/commands/<name>.py as a function of the same name.
COMMANDS = {
    "demo": "Train and predict on a small example data set.",
    "train": "Train an image classifier on a folder of labelled images.",
    "audit": "Find problems in labelled images.",
    "compare": "Compare strategies or backbones on the same images.",
    "studio": "Label and correct images in the browser.",
    "preview": "Draw a labelled sample of images, raw and augmented.",
    "predict": "Classify images with a trained model.",
    "export": "Write a model as one file for other programs.",
    "push": "Upload a model to the Hugging Face hub.",
    "serve": "Classify images over HTTP and on a web page.",
    "verify": "Check that a model is intact and works.",
    "evaluate": "Measure a trained model on labelled images.",
    "embed": "Write the features of images as a Parquet table.",
    "cache": "Show or clear the stored features.",
    "backbones": "List the backbones, and which are on this machine.",
}
EPILOG = "Start with: headstart demo, or headstart train FOLDER, where FOLDER contains one folder of images per class."


def build_app(called: Sequence[str] = tuple(COMMANDS)) -> typer.Typer:
    """The application. Only the commands in `called` are loaded; the others have just a name and a summary."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(epilog=EPILOG)
    def headstart(
        version: Annotated[
            bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
        ] = False,
    ) -> None:
        """A folder of labelled images in, an image classifier you can trust out."""

    for name, summary in COMMANDS.items():
        if name in called:
            module = import_module(f"headstart.apps.commands.{name}")
            app.command(name, short_help=summary)(getattr(module, name))
        else:
            app.command(name, help=summary)(_stub)
    return app


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line and exits the process with its code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    called = next((argument for argument in arguments if not argument.startswith("-")), "")
    try:
        build_app([called])(args=arguments, prog_name="headstart")
    except KeyboardInterrupt:  # while the command's module was being loaded
        sys.exit(EXIT_INTERRUPTED)


def _stub() -> None:
    """Takes the place of a command that was not called."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headstart {__version__}")
        raise typer.Exit
