"""The model card: README.md in a bundle or an export, which helps a person decide whether to use the model.

It is made from the manifest alone, so an export says what the run said. Its text is card.md, its program
classify.txt with read_photographs.txt or read_stacks.txt.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from headstart.artifact.bundle import CARD, FAMILIARITY, WEIGHTS
from headstart.artifact.card_program import ANSWERS, RUNTIMES, classifying_program
from headstart.artifact.manifest import MANIFEST, Manifest
from headstart.artifact.number_card import limits_of_numbers, seen_in_words
from headstart.artifact.number_words import numbers_sentence, numbers_table
from headstart.artifact.numbers import interval_in_words, number_rows, share, summary_sentence, uneven_sentence
from headstart.artifact.story import weak_classes
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.thresholds import PrecisionThreshold
from headstart.model.exported import HEAD
from headstart.model.licences import restriction
from headstart.settings import Cut
from headstart.storage import write_text

SPLITS = {
    "train": "fitted on",
    "val": "held out; whether anything was selected on it is said below",
    "test": "held out, never selected on",
}
METHODS = {
    "probe": "a new last layer was fitted on the features of a pretrained network (a probe).",
    "finetune": "a pretrained network was trained further, starting from a fitted last layer (fine-tuning).",
}
CUTS_IN_WORDS: dict[Cut, str] = {
    "whole": "the whole picture squeezed to a square",
    "crop": "the central square, after the shorter side was resized to {resize_px} px",
    "pad": "the whole picture, padded to a square",
}
NOT_MEASURED = "Its accuracy was not measured: no images were held out for that."
MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]{}|~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def write_card(folder: Path, manifest: Manifest) -> None:
    """Writes the card of the model in `folder`."""
    write_text(folder / CARD, card_of(manifest))


def card_of(manifest: Manifest, place: str = "this folder") -> str:
    """The card as Markdown, in which class names and notes stay text whatever characters they contain.

    `place` is what MODEL stands for in it, as Markdown.
    """
    evaluation = manifest.evaluation
    extra, without = _runtime_of(manifest)
    return _template("card.md").substitute(
        name=plain(manifest.data.name) or "Model card",
        what="numbers from images" if manifest.numbers else "an image classifier",
        claim=_claim(manifest),
        date=manifest.created[:10],
        version=plain(manifest.versions.get("headstart", "")),
        method=METHODS.get(manifest.strategy, f"by {plain(manifest.strategy)}."),
        data=_data(manifest),
        quality=_measured(manifest),
        limits=_bullets(_limits(manifest, evaluation)),
        making=_making(manifest),
        place=place,
        extra=extra,
        without=without,
        code=classifying_program(manifest),
        answer=ANSWERS[manifest.task].words,
        shown="answer.value, answer.ends" if manifest.numbers else "answer.predicted, answer.probability",
        adds="intervals, unfamiliar" if manifest.numbers else "unsure, sets of classes, unfamiliar",
        licence=_licence(manifest),
        files=_table(("file", "what it is"), _files(manifest)),
    )


def _claim(manifest: Manifest) -> str:
    """How good it is, in one sentence."""
    if manifest.numbers is not None and manifest.numbers.evaluation is not None:
        return numbers_sentence(manifest.numbers.evaluation)
    return summary_sentence(manifest.evaluation) if manifest.evaluation else NOT_MEASURED


def plain(text: str) -> str:
    """Text as Markdown that shows it literally: no mark, tag or line end in it has an effect."""
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
    return shown.translate(MARKS)


def _template(name: str) -> Template:
    return Template(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _runtime_of(manifest: Manifest) -> tuple[str, str]:
    """The extra of headstart that predicting needs, and what the program without headstart needs."""
    stacks = "numpy, Pillow and tifffile, and reads TIFF files only"
    libraries = stacks if manifest.preprocess.channels else "numpy and Pillow"
    if manifest.export is None:
        return "train", (
            "`headstart export MODEL --output exported` writes the model as one ONNX file. This program needs only that file, "
            f"onnxruntime, {libraries}; run it in that folder."
        )
    runtime = RUNTIMES[manifest.export.format]
    return runtime.extra, f"This program needs only {runtime.package}, {libraries}; run it in this folder."


def _data(manifest: Manifest) -> str:
    numbers: dict[str, int] = {split: len(digests) for split, digests in manifest.images.items()}
    said = ", ".join(f"{numbers[split]} in {split} ({meaning})" for split, meaning in SPLITS.items() if numbers.get(split))
    name = f" of the data set {plain(manifest.data.name)}" if manifest.data.name else ""
    skipped = manifest.data.skipped
    found = f"in {len(manifest.classes)} classes"
    if manifest.task == "multi-label":
        found = f"in {len(manifest.classes)} labels, of which each has any number"
    elif manifest.numbers is not None:
        found = f"with the number {plain(manifest.classes[0])}"
    left_out = f" {skipped} file{'s' * (skipped != 1)} could not be read and {'were' if skipped != 1 else 'was'} left out."
    text = (
        f"Images{name} {found}: {said}.{left_out if skipped else ''} The digest of each is in "
        f"{MANIFEST}, so that `headstart evaluate` can warn of images that the model was trained on."
    )
    if manifest.numbers is not None:
        return f"{text}\n\n{seen_in_words(manifest.numbers)}"
    splits = [split for split in SPLITS if split in manifest.data.counts]
    rows = [[name, *(manifest.data.counts[split][i] for split in splits)] for i, name in enumerate(manifest.classes)]
    return f"{text}\n\n{_table(('class', *(f'{split} images' for split in splits)), rows)}"


def _measured(manifest: Manifest) -> str:
    if manifest.numbers is None or manifest.numbers.evaluation is None:
        return _quality(manifest.evaluation) if manifest.evaluation else NOT_MEASURED
    table = _table(("", "value", "95 % interval", "what it is"), numbers_table(manifest.numbers.evaluation))
    return f"The numbers behind the first sentence of this card, in the unit of the labels.\n\n{table}"


def _quality(evaluation: Evaluation) -> str:
    parts = ["The numbers behind the first sentence of this card, overall and class by class."]
    if evaluation.is_uneven:
        parts.append(f"Look at the {uneven_sentence(evaluation)}.")
    parts.append(_table(("", "value", "95 % interval", "what it is"), number_rows(evaluation)))
    rows = (
        [c.name, c.n, share(c.precision), share(c.recall), interval_in_words(c.recall_ci95), share(c.f1)]
        for c in evaluation.per_class
    )
    parts.append(_table(("class", "images", "precision", "recall", "95 % interval of recall", "F1"), rows))
    parts.append(
        "Precision: of the images called this class, the share that is. Recall: of the images of this class, the share that "
        "was found. Intervals are 95 % confidence intervals, for images drawn like these."
    )
    return "\n\n".join(parts)


def _limits(manifest: Manifest, evaluation: Evaluation | None) -> Iterable[str]:
    decisions = manifest.decisions
    if manifest.numbers is not None:
        yield from (plain(sentence) for sentence in limits_of_numbers(manifest.numbers, decisions.set_on))
    else:
        yield (
            f"It knows {len(manifest.classes)} labels and no other."
            if manifest.task == "multi-label"
            else f"It knows {len(manifest.classes)} classes and no other. Every image gets one of them, even if it shows none "
            "or several of them."
        )
    yield (
        "The numbers above hold for images like those it was measured on. Another camera, light, background or season can "
        "reduce the accuracy by any amount: measure it on your own images (`headstart evaluate MODEL DATA`) first."
    )
    if decisions.familiarity:
        false_alarms = f"{decisions.familiarity.false_alarms:.0%}"
        yield (
            f"An image is called `unfamiliar` if its features are farther than {decisions.familiarity.threshold:.3f} from "
            "those of the training images (one minus the cosine, 0 to 2). This is a hint, not a safeguard. The distance was "
            f"set so that about {false_alarms} of images like the training images are called unfamiliar, too; of new images it "
            "can be more. Images of another kind may be missed."
        )
    else:
        yield "It cannot recognise images unlike those it was trained on."
    if manifest.numbers is None:
        yield from _of_probabilities(manifest)
    if conformal := decisions.conformal:
        what = f"the set of classes that it cannot rule out. It contains the true class for {conformal.coverage:.0%} of images"
        noun = "labels" if manifest.task == "multi-label" else "classes"
        if manifest.task == "multi-label":
            what = f"a larger set of labels, which contains {conformal.coverage:.0%} of an image's true labels on average"
        yield (
            f"Beside its answer it gives {what}, if they are drawn like the {conformal.n} images it was set on "
            f"({plain(decisions.set_on)}). It has {conformal.mean_size:.2f} {noun} on average."
        )
    yield from (plain(sentence) for sentence in (weak_classes(evaluation) if evaluation else ()))
    yield from (f"{plain(note[:1].upper() + note[1:])}." for note in manifest.notes)


def _of_probabilities(manifest: Manifest) -> Iterable[str]:
    """The temperature and the thresholds."""
    decisions = manifest.decisions
    corrected = f"were corrected by a temperature of {decisions.temperature:.3g}"
    fitted_on = f", fitted on {plain(decisions.set_on)}" if decisions.set_on else ""
    yield "Its probabilities " + (
        f"{corrected}{fitted_on}." if decisions.temperature != 1 else "are as they were fitted (temperature 1)."
    )
    yield from _of_thresholds(manifest) if manifest.decisions.labels else (_unsure(manifest),)


def _unsure(manifest: Manifest) -> str:
    precision = manifest.decisions.precision
    if precision is None:
        return "It never says `unsure` by itself; with `headstart predict --min-confidence 0.9` it does below that probability."
    if precision.share_answered == 0:
        return (
            f"It says `unsure` for nearly every image: {precision.target:.1%} of its answers should be right, and of "
            f"{precision.n} images not even the most confident answers were right that often."
        )
    if manifest.task == "nested":
        return _stops_above(manifest, precision)
    return (
        f"Below a probability of {precision.min_confidence:.3f} it says `unsure`, so that {precision.target:.1%} of its "
        f"answers are right ({_promise(precision)}): of {precision.n} images ({plain(manifest.decisions.set_on)}) "
        f"{precision.share_answered:.1%} were answered, and {precision.precision:.1%} of these answers were right."
    )


def _of_thresholds(manifest: Manifest) -> Iterable[str]:
    """The thresholds of several labels."""
    labels = manifest.decisions.labels
    first = labels[0]
    aim = "the best F1" if first.target is None else f"a {first.aim} of {first.target:.1%}"
    table = ", ".join(f"{plain(one.name)} {one.threshold:.3f}" for one in labels)
    yield f"A label is said from its own threshold on, chosen for {aim} on {plain(manifest.decisions.set_on)}: {table}."
    kept = [one for one in labels if one.target is not None]
    if kept:
        lacking = [plain(one.name) for one in kept if not one.promised]
        exceptions = f", except for {', '.join(lacking)}, where it is not a promise" if lacking else ""
        yield f"The {first.aim} is promised with 95 % confidence for each label{exceptions}."


def _stops_above(manifest: Manifest, precision: PrecisionThreshold) -> str:
    return (
        f"It answers with the lowest group of classes of which the probability is at least {precision.min_confidence:.3f}, so "
        f"that {precision.target:.1%} of its answers are right ({_promise(precision)}): of {precision.n} images "
        f"({plain(manifest.decisions.set_on)}) {precision.precision:.1%} were in the group that was the answer."
    )


def _promise(precision: PrecisionThreshold) -> str:
    return "promised with 95 % confidence" if precision.promised else "which is not a promise, only what was measured"


def _making(manifest: Manifest) -> str:
    backbone, preprocess = manifest.backbone, manifest.preprocess
    way = "; ".join(CUTS_IN_WORDS[cut].format(resize_px=preprocess.resize_px) for cut in preprocess.cuts)
    if preprocess.n_views > 1:
        way = f"the mean of {preprocess.n_views} views: {way}{', each also mirrored' if preprocess.mirrored else ''}"
    asked = f", chosen by {manifest.requested}" if manifest.requested not in ("", manifest.strategy) else ""
    recipe = f", recipe {manifest.recipe}" if manifest.recipe != "default" else ""
    rows = [
        ("strategy", f"{manifest.strategy}{recipe}{asked}; seed {manifest.seed}"),
        ("pretrained network", f"{backbone.name} ({backbone.timm_name}), weights: {backbone.weights_origin}"),
        ("SHA-256 of these weights", backbone.weights_sha256),
        ("features", ", ".join(("last pooled layer", *(f"mean of {plain(stage)}" for stage in backbone.stages)))),
        ("input", f"{preprocess.size_px} x {preprocess.size_px} px RGB, {preprocess.interpolation}, {way}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]
    if preprocess.channels:
        rows.insert(4, ("of each file", f"what --channels {plain(preprocess.channels)} chooses"))
    if export := manifest.export:
        parity, accuracy = export.parity, ""
        if parity.accuracy_before is not None and parity.accuracy_after is not None:
            accuracy = f"; accuracy {parity.accuracy_after:.1%} instead of {parity.accuracy_before:.1%} on these"
        rows.append(("exported as", f"{export.format}, {export.precision}: {export.file}"))
        rows.append(
            (
                "compared with the original",
                f"the same class for {parity.same_label:.1%} of {parity.images} images and {parity.odd_images} generated "
                f"ones; {parity.difference(of_numbers=manifest.numbers is not None)}{accuracy}",
            )
        )
    return f"{_table(('', ''), rows)}\n\n{MANIFEST} has every setting and number of the training."


def _licence(manifest: Manifest) -> str:
    licence, name = manifest.backbone.licence, plain(manifest.backbone.name)
    known = (
        f"are under {plain(licence)}" if licence not in ("", "unknown") else "are under a licence that headstart does not know"
    )
    restricted = restriction(manifest.backbone.name, licence)
    warning = f"**{plain(restricted[:1].upper() + restricted[1:])}.** " if restricted else ""
    return (
        f"{warning}The pretrained weights of {name} {known}; the weights in this folder are made from them. The licence of the "
        "training images may restrict the model as well; headstart does not know it."
    )


def _files(manifest: Manifest) -> Iterable[tuple[str, str]]:
    yield MANIFEST, "classes, preprocessing, numbers, settings, and the digest of each file except this one"
    if manifest.export is None:
        yield WEIGHTS, "every weight of the network"
    for name in manifest.export.sha256 if manifest.export else ():
        yield name, "the last layer alone" if name == HEAD else "the whole classifier, from pixels to probabilities"
    if manifest.decisions.familiarity:
        yield FAMILIARITY, "features of training images, by which unfamiliar images are recognised"
    yield CARD, "this card"


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of texts and numbers; no cell is read as Markdown."""
    lines = [header, ["---"] * len(header), *([plain(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
