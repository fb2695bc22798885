"""Makes what is generated in docs/ from the code: commands.md, and tutorial.ipynb without outputs.

python docs/build.py            write
python docs/build.py --check    say what would change, exit 1 if anything would
"""

import json
import sys
from pathlib import Path

import typer
from typer.testing import CliRunner

from headstart.apps.main import COMMANDS, build_app

DOCS = Path(__file__).parent
INTRO = """# Commands

Made by `make docs` from the commands themselves; do not edit.
"""


def command_reference() -> str:
    """commands.md: the help text of every command."""
    app = build_app()
    runner = CliRunner(env={"COLUMNS": "110", "TERMINAL_WIDTH": "110", "NO_COLOR": "1"})
    parts = [INTRO]
    for name in ("", *COMMANDS):
        arguments = [name, "--help"] if name else ["--help"]
        text = runner.invoke(app, arguments, prog_name="headstart", catch_exceptions=False).output
        lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
        parts.append(f"## {f'headstart {name}'.strip()}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


def notebook() -> str:
    """tutorial.ipynb from tutorial.py: comments that begin with `# %% [markdown]` are text, `# %%` begins code."""
    cells = []
    for number, part in enumerate((DOCS / "tutorial.py").read_text(encoding="utf-8").split("# %%")[1:]):
        kind, _, body = part.partition("\n")
        is_text = "[markdown]" in kind
        if is_text:
            body = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines())
        source = body.strip().splitlines(keepends=True)
        cell = {"cell_type": "markdown" if is_text else "code", "id": f"cell-{number}", "metadata": {}, "source": source}
        cells.append(cell if is_text else cell | {"execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes the files, or checks them."""
    changed = []
    for name, text in (("commands.md", command_reference()), ("tutorial.ipynb", notebook())):
        file = DOCS / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            changed.append(name)
            if "--check" not in sys.argv:
                file.write_text(text, encoding="utf-8", newline="\n")
    typer.echo(f"changed: {', '.join(changed) or 'nothing'}")
    if changed and "--check" in sys.argv:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
