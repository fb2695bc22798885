"""The documents are true: what they say to type is typed, what is generated is current."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PATIENCE_SECONDS, SHARED

from headstart.apps.main import COMMANDS, run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def headstart_lines(text: str) -> list[str]:
    lines = [line for block in code_blocks(text, "bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("headstart ")]


def run_line(line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(shlex.split(line.partition("  #")[0])[1:])
    assert ended.value.code == 0, line


@pytest.mark.process
def test_generated_files_are_current() -> None:
    """docs/commands.md and docs/tutorial.ipynb are what docs/build.py makes of the code today."""
    done = subprocess.run([sys.executable, ROOT / "docs" / "build.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_names_every_command() -> None:
    """README's table has a row for each command there is, and for none that there is not."""
    assert set(re.findall(r"^\| `headstart (\w+)", README, flags=re.MULTILINE)) == set(COMMANDS)


@pytest.mark.slow
def test_the_page_on_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw_classes: Callable[..., Path]) -> None:
    """The example of docs/python.md works, on a folder called photos."""
    draw_classes({"circles": 12, "squares": 12}, "photos")
    for folder in ("circles", "squares"):
        (first, *_) = sorted((tmp_path / "photos" / folder).iterdir())
        first.rename(first.with_name(f"{folder}-0.png"))
    monkeypatch.chdir(tmp_path)
    for example in code_blocks((ROOT / "docs" / "python.md").read_text(encoding="utf-8"), "python"):
        exec(example, {})


@pytest.mark.slow
def test_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw_classes: Callable[..., Path]) -> None:
    """README's commands and its Python example work, in their order, on a folder called photos."""
    draw_classes({"circles": 12, "squares": 12}, "photos")
    draw_classes({"circles": 3, "squares": 3}, "new_photos")
    monkeypatch.chdir(tmp_path)
    lines = [
        line for line in headstart_lines(README) if not line.startswith(("headstart serve ", "headstart studio "))
    ]  # which ends only when told to
    assert len(lines) >= 4
    for line in lines:
        run_line(line + " --epochs 1" if "finetune" in line else line)
    examples = code_blocks(README, "python")
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "answers.png").is_file()
    assert (tmp_path / "model" / "manifest.json").is_file()


@pytest.mark.slow
def test_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw_classes: Callable[..., Path]) -> None:
    """The tutorial's commands work as typed (fine-tuning and the classic procedure for one epoch), on drawn ants and bees."""
    for split, count in (("train", 10), ("val", 6)):
        folder = draw_classes({"circles": count, "squares": count}, f"hymenoptera_data/{split}")
        (folder / "circles").rename(folder / "ants")
        (folder / "squares").rename(folder / "bees")
    monkeypatch.setenv("HEADSTART_HYMENOPTERA", str(tmp_path / "hymenoptera_data"))
    monkeypatch.chdir(tmp_path)
    lines = headstart_lines(TUTORIAL)
    assert len(lines) >= 6
    for line in lines:
        run_line(line + " --epochs 1" if "finetune " in line or "tutorial" in line else line)


@pytest.fixture
def few_ants_and_bees(tmp_path: Path, draw_classes: Callable[..., Path]) -> Path:
    """A few of the photographs, or drawings where they are not at hand; one of each class's val images has the wrong label."""
    folder = tmp_path / "hymenoptera_data"
    for split, count in (("train", 16), ("val", 10)):
        drawn = draw_classes({"circles": count, "squares": count}, f"drawn/{split}")
        for label, stand_in in (("ants", "circles"), ("bees", "squares")):
            real = SHARED / "hymenoptera_data" / split / label
            (folder / split / label).mkdir(parents=True)
            for file in sorted((real if real.is_dir() else drawn / stand_in).glob("*.[jp][pn]g"))[:count]:
                shutil.copy(file, folder / split / label)
    ant, bee = (next((folder / "val" / label).iterdir()) for label in ("ants", "bees"))
    ant.rename(folder / "val" / "bees" / f"ant{ant.suffix}")
    bee.rename(folder / "val" / "ants" / f"bee{bee.suffix}")
    return folder


@pytest.mark.slow
def test_notebook_runs(few_ants_and_bees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook runs from top to bottom, here on few images, and shows its pictures."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("HEADSTART_HYMENOPTERA", str(few_ants_and_bees))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    book = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    NotebookClient(
        book, timeout=PATIENCE_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    text = "".join(output.get("text", "") for output in outputs)
    assert len(pictures) == 4
    assert "95 % interval" in text
