"""The images of a run that is extended together with new ones, after the pass over their files."""

from collections.abc import Sequence
from dataclasses import replace

from headstart.data.dataset import Dataset, LabelledImage, training_dataset
from headstart.data.kept_splits import HELD, KeptSplits, Shares, kept_splits
from headstart.data.sources import Skipped, Sources
from headstart.data.wording import counted, listed
from headstart.fitting.earlier import Earlier, Extended, Growth, check_found
from headstart.fitting.scanned import Scanned
from headstart.fitting.unsaid_labels import check_added, is_relabelled, notes_on_added, notes_on_judging, with_unsaid
from headstart.fitting.view_choice import ViewChoice


def without_splits(
    earlier: Earlier, name: str, images: Sequence[LabelledImage], skipped: Sequence[Skipped], sources: Sequence[Sources]
) -> Dataset:
    """The images as a data set, whatever their splits: those are known when it is known which images belong together.

    Numbers are called as in the earlier run. Raises DataError where classes do not fit together.
    """
    images = [replace(image, split=None) for image in images]
    if any(source.several for source in sources):
        images = with_unsaid(images, sources, earlier)
    dataset = training_dataset(name, images, skipped, sources)
    return _named_as_in(earlier, dataset) if dataset.number else dataset


def _named_as_in(earlier: Earlier, dataset: Dataset) -> Dataset:
    (before,) = earlier.classes
    if before == dataset.number:
        return dataset
    note = f"what {dataset.name} calls {dataset.number!r} is taken for the {before!r} of the extended run"
    return replace(dataset, classes=(before,), number=before, notes=(*dataset.notes, note))


def grown(scanned: Scanned, sources: Sequence[Sources], earlier: Earlier) -> Scanned:
    """The scanned images in the splits that they had in the earlier run, with the new ones divided like them.

    Raises DataError if most images of the run are not among them, or a class is left without train images.
    """
    dataset, settings = scanned.dataset, scanned.settings
    growth = _growth(dataset, earlier)
    check_found(growth.kept, earlier, f"{dataset.name} and where the run had them")
    at = {candidate.path: candidate.split for source in sources for candidate in source.candidates}
    given = [at.get(image.path) for image in dataset.images]
    kept = kept_splits(dataset, given, scanned.groups, earlier.splits, _shares(scanned, given, earlier), settings.seed)
    images = tuple(replace(image, split=name) for image, name in zip(dataset.images, kept.names, strict=True))
    dataset = replace(dataset, images=images)
    if dataset.several:
        check_added(dataset, growth.classes_added)
    notes = (*dataset.notes, *earlier.notes, *_notes(growth, kept, dataset, earlier))
    return replace(
        scanned,
        dataset=replace(dataset, notes=notes),
        views=ViewChoice(view=scanned.views.view, why=f"as in {earlier.run}"),
        extended=Extended(earlier, growth),
    )


def _growth(dataset: Dataset, earlier: Earlier) -> Growth:
    now = {image.sha256: image.label for image in dataset.images}
    kept = now.keys() & earlier.splits.keys()
    added = tuple(name for name in dataset.classes if name not in earlier.classes)

    def has_another(sha256: str) -> bool:
        before = earlier.labels.get(sha256, now[sha256])
        return is_relabelled(before, now[sha256], frozenset(added)) if dataset.several else before != now[sha256]

    return Growth(
        kept=len(kept),
        new=sum(image.sha256 not in earlier.splits for image in dataset.images),
        gone=len(earlier.splits) - len(kept),
        relabelled=sum(has_another(sha256) for sha256 in kept),
        classes_added=added,
        classes_gone=tuple(name for name in earlier.classes if name not in dataset.classes),
    )


def _shares(scanned: Scanned, given: Sequence[str | None], earlier: Earlier) -> Shares:
    """How much of the new images is held out: what the settings say if the run had divided its images itself, else as much as
    the run had. Nothing for a split that the user gives apart, or that the run did not have.
    """
    settings = scanned.settings
    old = [(split, earlier.splits.get(image.sha256)) for split, image in zip(given, scanned.dataset.images, strict=True)]
    counts = {name: sum(splits is not None and name in splits for _, splits in old) for name in ("train", *HELD)}
    n = max(1, sum(counts.values()))
    came_with_data = any(split == "val" for split, splits in old if splits is not None)
    val = counts["val"] / n if came_with_data else settings.val_fraction
    return Shares(
        test=counts["test"] / n if settings.test is None else 0.0,
        val=val if counts["val"] and settings.val is None else 0.0,
    )


def _notes(growth: Growth, kept: KeptSplits, dataset: Dataset, earlier: Earlier) -> tuple[str, ...]:
    notes = []
    if growth.gone:
        notes.append(f"{counted(growth.gone, 'image')} of the extended run can no longer be used")
    if growth.relabelled:
        was = "has" if growth.relabelled == 1 else "have"
        notes.append(f"{counted(growth.relabelled, 'image')} of the extended run {was} another label now")
    if growth.classes_gone:
        what = "labels" if dataset.several else "classes"
        notes.append(f"{what} of the extended run without images now: {listed(growth.classes_gone)}")
    if kept.moved:
        notes.append(f"the data has {counted(kept.moved, 'image')} in another split than the extended run: it stays as it was")
    if kept.twins:
        notes.append(f"new images that show a picture held out by the extended run, and are held out too: {kept.twins}")
    new = [image for image in dataset.images if image.sha256 not in earlier.splits]
    for split in ("val", "test"):
        of_new = sum(image.split == split for image in new)
        if of_new:
            notes.append(f"{split} is that of the extended run and {counted(of_new, 'new image')}")
    if dataset.several:
        notes += notes_on_added(dataset, growth.classes_added, earlier)
    return (*notes, *_unjudged(dataset))


def _unjudged(dataset: Dataset) -> list[str]:
    """Notes on classes of which no image is held out, if any is."""
    if dataset.several:
        return notes_on_judging(dataset)
    judged = {image.label for image in dataset.images if image.split != "train"}
    if dataset.number or not judged:
        return []
    return [
        f"no image of the class {name!r} is held out: it cannot be judged" for name in dataset.classes if name not in judged
    ]
