"""The labels and exclusions of a project, in place of those that the data came with."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headstart.data.decided import ImageKey, Standing
from headstart.data.label_log import LabelLog
from headstart.data.shown_paths import common_folder
from headstart.data.sources import Candidate, LabelsUsed, Skipped, Sources, class_name, digest_of
from headstart.data.wording import counted
from headstart.errors import DataError, HeadstartWarning
from headstart.threads import map_in_threads

LABELS = "labels.sqlite"  # in the folder of a project
NO_LABEL = "it has no label"
Digests = Callable[[Sequence[Candidate]], Iterable[str]]


def paths_in(source: Sources) -> list[str]:
    """The paths of the candidates as an ImageKey has them: relative to their common folder or archive, with `/`."""
    folder = common_folder(candidate.path for candidate in source.candidates)
    return [candidate.path.removeprefix(folder).replace(os.sep, "/") for candidate in source.candidates]


def digests_of(candidates: Sequence[Candidate]) -> Iterable[str]:
    """The digests of files, which are read in threads."""
    return map_in_threads(digest_of, candidates)


def relabelled(sources: Sequence[Sources], project: Path, as_of: LabelsUsed | None = None) -> list[Sources]:
    """The sources with what is decided in the log of `project`; with `as_of`, as it was then.

    A decision is about the file of its path if the digest is that of the decision, else about a file of that digest, wherever
    it is now. Warns about decisions on files that have changed or are gone. Raises DataError if there is no such log, if no
    decision is about a file of the data, or if no image is left that has a label.
    """
    with LabelLog.open(project / LABELS, create=False) as log:
        used = _used(log, as_of)
        standing = log.standing(used.decisions)
    new, found = with_decisions(sources, standing)
    _warn_of(found, standing, project)
    if not any(source.candidates for source in new):
        raise DataError(f"no image of {sources[0].name} has a label", hint="label some of them in the studio")
    new[0] = replace(new[0], labels_used=used)
    return new


def with_decisions(
    sources: Sequence[Sources], standing: Mapping[ImageKey, Standing], digests: Digests = digests_of
) -> tuple[list[Sources], "Found"]:
    """The sources as decided, and which files the decisions are about.

    What is excluded, and what has no label at all, is listed as skipped. `digests` gives the digests of files; it is only asked
    about those that matter.
    """
    files = _Files(
        [candidate for source in sources for candidate in source.candidates],
        [class_name(path) for source in sources for path in paths_in(source)],
        digests,
    )
    found = files.match(standing)
    new: list[Sources] = []
    counts: Counter[str] = Counter()
    done = 0
    for source in sources:
        of_source = [found.of_file.get(number) for number in range(done, done + len(source.candidates))]
        done += len(source.candidates)
        new.append(_applied(source, of_source, counts))
    new[0] = replace(new[0], notes=(*new[0].notes, *_notes(counts)))
    return new, found


def _used(log: LabelLog, as_of: LabelsUsed | None) -> LabelsUsed:
    """The state of the log to use. Raises DataError if it has never had the state `as_of`."""
    last = log.last if as_of is None else as_of.decisions
    used = LabelsUsed(digest=log.digest(last), decisions=last)
    if as_of is not None and used != as_of:
        raise DataError(f"the labels in {log.file} are not those that the run was started with", hint="start a new run")
    return used


@dataclass(frozen=True, slots=True)
class Found:
    """Which files the decisions are about."""

    of_file: dict[int, Standing]  # the number of a file -> the decision about it
    changed: list[ImageKey]  # there is a file of this path, but it is another image now
    gone: list[ImageKey]  # there is neither a file of this path nor one of this digest


class _Files:
    """The files of the data, numbered; each is read at most once, and only if a decision may be about it."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        paths: Sequence[str],
        digests: Digests,
    ) -> None:
        self.candidates, self.paths, self._digests = candidates, paths, digests
        self._known: dict[int, str] = {}

    def match(self, standing: Mapping[ImageKey, Standing]) -> Found:
        """The files that the decisions are about: those of their paths, if the digests are the same, else one of the digest."""
        at_path: dict[str, list[int]] = {}
        for number, path in enumerate(self.paths):
            at_path.setdefault(path, []).append(number)
        named = {key: at_path.get(class_name(key.path), []) for key in standing}
        self._read({number for numbers in named.values() for number in numbers})
        of_file: dict[int, ImageKey] = {}
        for key, numbers in named.items():
            of_file |= {number: key for number in numbers[:] if self._known[number] == key.digest}
        left = standing.keys() - set(of_file.values())
        if left:
            free = [number for number in range(len(self.paths)) if number not in of_file]
            self._read(free)
            # The later decision counts where there are more of them than files.
            of_file |= found_by_content(
                sorted(left, key=lambda key: -standing[key].number),
                {number: self._known[number] for number in free},
                self.paths,
            )
            left -= set(of_file.values())
        missing = [key for key in standing if key in left]
        changed = [key for key in missing if any(number not in of_file for number in named[key])]
        gone = [key for key in missing if not named[key]]
        return Found({number: standing[key] for number, key in of_file.items()}, changed, gone)

    def _read(self, numbers: Iterable[int]) -> None:
        unknown = sorted(number for number in numbers if number not in self._known)
        digests = self._digests([self.candidates[number] for number in unknown])
        self._known.update(zip(unknown, digests, strict=True))


def found_by_content(keys: Sequence[ImageKey], digests: Mapping[int, str], paths: Sequence[str]) -> dict[int, ImageKey]:
    """The number of a file -> the key that names its image: files that were moved or renamed since they were decided on.

    `digests` are those of the files that may be taken, `paths` of all. Of several files with one content a key is about that
    whose path is most alike, and about no other; of several keys the first ones count.
    """
    keys_of: dict[str, list[ImageKey]] = {}
    for key in keys:
        keys_of.setdefault(key.digest, []).append(key)
    files_of: dict[str, list[int]] = {}
    for number, digest in digests.items():
        if digest in keys_of:
            files_of.setdefault(digest, []).append(number)
    found: dict[int, ImageKey] = {}
    for digest, files in files_of.items():
        found |= _most_alike(keys_of[digest], {number: paths[number] for number in files})
    return found


def _most_alike(keys: Sequence[ImageKey], paths: Mapping[int, str]) -> dict[int, ImageKey]:
    """The number of a path -> the key with most folders and names at the end in common; each is taken once, in order."""
    waiting, left, found = dict(paths), list(keys), dict[int, ImageKey]()
    depth = max(path.count("/") + 1 for path in paths.values())
    for n_parts in range(depth, -1, -1):
        at_end: dict[tuple[str, ...], list[int]] = {}
        for number, path in reversed(waiting.items()):
            at_end.setdefault(_end(path, n_parts), []).append(number)
        unused = []
        for key in left:
            numbers = at_end.get(_end(class_name(key.path), n_parts))
            if numbers:
                number = numbers.pop()
                found[number] = key
                del waiting[number]
            else:
                unused.append(key)
        left = unused
    return found


def _end(path: str, n_parts: int) -> tuple[str, ...]:
    parts = tuple(path.split("/"))
    return parts[len(parts) - n_parts :] if n_parts <= len(parts) else ("", *parts)


def _applied(source: Sources, decisions: Sequence[Standing | None], counts: Counter[str]) -> Sources:
    """The source with what was decided about its candidates; `counts` what became of them."""
    kept: list[Candidate] = []
    skipped: list[Skipped] = []
    for candidate, decision in zip(source.candidates, decisions, strict=True):
        label = candidate.label
        if decision is not None and decision.state.excluded:
            skipped.append(Skipped(candidate.path, f"excluded: {reason_of(decision)}", kind="excluded"))
            counts["excluded"] += 1
            continue
        if decision is not None:
            label = None if decision.state.label is None else class_name(decision.state.label)
            counts["new"] += candidate.label is None and label is not None
            counts["other"] += None not in (candidate.label, label) and candidate.label != label
        if label is None:
            skipped.append(Skipped(candidate.path, NO_LABEL, kind="unlabelled"))
            counts["unlabelled"] += 1
        else:
            kept.append(replace(candidate, label=label))
    filled = {(candidate.split or "", candidate.label) for candidate in kept}
    empty = tuple(place for place in source.empty_classes if place not in filled)
    return replace(source, candidates=tuple(kept), skipped=(*source.skipped, *skipped), empty_classes=empty)


def reason_of(decision: Standing) -> str:
    """Why an image is excluded, as tables have it: by hand, or in which queue."""
    queue = decision.why.partition(":")[2]
    return f"decided in the studio, in the queue {queue}" if queue else "decided in the studio"


def _notes(counts: Counter[str]) -> list[str]:
    """What the labels of the project changed, without names: the notes of a model go with it."""
    notes = []
    done = [
        f"{counted(counts[kind], 'image')} {what}"
        for kind, what in (("other", "relabelled"), ("new", "labelled that came without a label"), ("excluded", "excluded"))
        if counts[kind]
    ]
    if done:
        notes.append(f"by the labels of the project: {', '.join(done)}")
    if counts["unlabelled"]:
        n = counts["unlabelled"]
        notes.append(f"{counted(n, 'image')} {'has' if n == 1 else 'have'} no label: not used")
    return notes


def _warn_of(found: Found, standing: Mapping[ImageKey, Standing], project: Path) -> None:
    """Warns about decisions that are about no file. Raises DataError if none is about one."""
    if standing and not found.of_file:
        first = next(iter(standing)).path
        raise DataError(
            f"no decision in {project} is about an image of the data, of {len(standing)}; the first is about {first}",
            hint="give the project of this data set",
        )
    for keys, what in (
        (found.changed, "files that have changed since they were decided on, so that their labels are not used"),
        (found.gone, f"images decided on in {project} that are not in the data"),
    ):
        if keys:
            warnings.warn(f"{what}: {len(keys)}; the first is {keys[0].path}", HeadstartWarning, stacklevel=4)
