"""What a tree of folders means, file by file: one candidate for each, with the label that its folder names."""

from pathlib import PurePath

from headstart.data.folder_doubts import NoClassFoldersError
from headstart.data.folders import ClassFolder, Layout, layout_of, unlabelled_layout
from headstart.data.reading import Reading
from headstart.data.sources import Candidate, Skipped, Sources, class_name
from headstart.data.split_names import UNLABELLED, splits_of
from headstart.data.trees import Tree


def tree_sources(name: str, tree: Tree, root: PurePath, reading: Reading) -> tuple[Sources, set[str]]:
    """The candidates of a data set called `name` in a folder of the tree, and the names of its class folders.

    With `reading.with_unlabelled` also those without a label. Raises DataError.
    """
    layout = _layout(tree, root, reading)
    candidates: list[Candidate] = []
    empty: list[tuple[str, str]] = []
    for found in layout.classes:
        n_before = len(candidates)
        for file in tree.files_below(found.folder):
            label = _nested(found, file) if reading.nested else found.label
            candidates.append(Candidate(tree.shown(file), tree.file_of(file), label, found.split))
        if len(candidates) == n_before:
            empty.append((found.split or "", found.label))
    if reading.with_unlabelled or (reading.labels_are_optional and not layout.classes):
        candidates += _without_label(layout, tree)
    else:
        _leave_out_unlabelled(layout, tree)
    skipped = tuple(Skipped(tree.shown(path), reason) for path, reason in layout.unused)
    sources = Sources(name, tuple(candidates), skipped, tuple(empty), tuple(layout.notes))
    return sources, {found.label for found in layout.classes}


def _nested(found: ClassFolder, file: PurePath) -> str:
    """The class folder and the folders below it that hold the file, as in `animals/insects/bees`."""
    return "/".join([found.label, *(class_name(part) for part in file.parent.relative_to(found.folder).parts)])


def _layout(tree: Tree, root: PurePath, reading: Reading) -> Layout:
    """What the folder means; it may have no classes if no labels are needed.

    With `with_unlabelled` one folder that holds all images is no class, unless there are classes elsewhere.
    """
    try:
        layout = layout_of(root, tree)
    except NoClassFoldersError:
        unlabelled = unlabelled_layout(root, tree) if reading.takes_no_labels else Layout()
        if not unlabelled.loose:
            raise
        return unlabelled
    labels = {found.label for found in layout.classes}
    if not reading.with_unlabelled or len(labels) > 1 or layout.loose or layout.unlabelled:
        return layout
    (label,) = labels
    if not reading.is_part or splits_of(labels):
        return unlabelled_layout(root, tree)
    layout.notes.append(
        f"all images are in one folder, {label}: it is read as the class {label!r}, where the project has no other label; "
        "images without a label belong directly into DATA"
    )
    return layout


def _without_label(layout: Layout, tree: Tree) -> list[Candidate]:
    """The images that the folder has no label for. Where others are in splits, those that are in none are for training."""
    rest = "train" if any(found.split for found in layout.classes) else None
    files = [(file, split or rest) for file, split in layout.loose]
    for folder, split in layout.unlabelled:
        files += [(file, "train" if split == UNLABELLED else split) for file in tree.files_below(folder)]
    return [Candidate(tree.shown(file), tree.file_of(file), None, split) for file, split in files]


def _leave_out_unlabelled(layout: Layout, tree: Tree) -> None:
    """Lists the images that the folder has no label for as not used."""
    layout.unused += [(file, "it is outside the class folders") for file, _ in layout.loose]
    for folder, _ in layout.unlabelled:
        n_files = sum(1 for _ in tree.files_below(folder))
        files = "1 file has" if n_files == 1 else f"{n_files} files have"
        layout.unused.append((folder, f"it has no class folders, so its {files} no labels"))
        layout.notes.append(f"{folder.name}/ has no class folders: its {files} no labels and cannot be used")
