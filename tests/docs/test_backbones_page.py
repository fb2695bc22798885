"""docs/backbones.md says of each backbone what the code says."""

import re
from pathlib import Path

from headstart.model.ladder import LADDER
from headstart.model.specs import NAMED

PAGE = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text(encoding="utf-8")


def test_the_table_is_the_ladder() -> None:
    """The table has a row for each named backbone, in the order and with the figures of the ladder."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| \w+_?\w* \|", line)
    ]
    expected = []
    for rung in LADDER:
        spec = NAMED[rung.name]
        assert spec.preprocess is not None
        top1 = "-" if rung.top1 is None else f"{rung.top1:.1f}"
        size, parameters, file = f"{spec.preprocess.size_px} px", f"{rung.parameters_m:.1f} M", f"{rung.file_mb:.0f} MB"
        expected.append([rung.name, spec.timm_name, size, top1, parameters, file, spec.licence])
    assert rows[1:] == expected
