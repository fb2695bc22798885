"""Pictures with several drawn shapes, and tables and COCO files of their boxes."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from conftest import draw_shape
from PIL import Image

LABELS = ("circles", "squares", "triangles")
SHAPE = (96, 80)  # pixels: width and height of each box
BoxRow = tuple[str, str, int, int, int, int]  # path, label, x, y, w, h


def draw_pictures(folder: Path, n: int = 6, seed: int = 0, ending: str = "png") -> list[BoxRow]:
    """Writes n pictures with three different shapes side by side; returns a row for each shape."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, rows = np.random.default_rng(seed), []
    for i in range(n):
        picture, name = Image.new("RGB", (320, 100), "white"), f"p{seed}{i:02}.{ending}"
        for place, label in enumerate(rng.permutation(LABELS).tolist()):
            x, y = 5 + 105 * place, int(rng.integers(0, 20))
            picture.paste(draw_shape(label, rng, SHAPE), (x, y))
            rows.append((name, label, x, y, *SHAPE))
        picture.save(folder / name)
    return rows


def write_table(file: Path, rows: Iterable[Iterable[object]], header: str = "path,label,x,y,w,h") -> Path:
    """A CSV table of rows."""
    file.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return file


def coco_of(rows: Iterable[BoxRow]) -> dict[str, list[dict[str, object]]]:
    """The rows as the content of a COCO file."""
    rows = list(rows)
    names = list(dict.fromkeys(row[0] for row in rows))
    return {
        "images": [{"id": i, "file_name": name, "width": 320, "height": 100} for i, name in enumerate(names)],
        "categories": [{"id": i + 1, "name": label} for i, label in enumerate(LABELS)],
        "annotations": [
            {"id": i + 1, "image_id": names.index(name), "category_id": LABELS.index(label) + 1, "bbox": box, "iscrowd": 0}
            for i, (name, label, *box) in enumerate(rows)
        ],
    }


def write_coco(file: Path, content: object) -> Path:
    """A JSON file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file
