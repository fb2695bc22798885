"""Predicted numbers and how good they are, worded for reports, cards and the command line."""

from collections.abc import Sequence

from headstart.artifact.numbers import images_judged, interval_in_words, share, some_of_them
from headstart.artifact.predictor import Prediction
from headstart.artifact.story import Story
from headstart.data.wording import in_digits, range_in_digits
from headstart.evaluation.intervals import too_few
from headstart.evaluation.number_evaluation import NumberEvaluation
from headstart.evaluation.number_intervals import NumberIntervals

WORST_IN_FULL = -1000.0  # R2: worse ones are written with four digits
CLEARLY = 0.05  # from what was asked for: a coverage that is further off is told


def number_with_interval(prediction: Prediction) -> str:
    """The answer to an image that could be read, with the interval around it."""
    assert prediction.value is not None  # it is a number
    if prediction.ends is None:
        return in_digits(prediction.value)
    low, high = prediction.ends
    return f"{in_digits(prediction.value, high - low)} ({range_in_digits(low, high, high - low)})"


def numbers_sentence(evaluation: NumberEvaluation, n_trained_on: int = 0) -> str:
    """The claim in one sentence: how far answers are off, beside what always answering the same number would be."""
    found = evaluation.numbers
    interval = found.mean_absolute_error_ci95
    groups = f", from {evaluation.n_groups} unrelated groups" if evaluation.n_groups < evaluation.n else ""
    certain = f"95 % interval {range_in_digits(*interval)}" if interval else "too few to say how certain"
    sentence = (
        f"On {images_judged(evaluation.n, evaluation.split)} the answers are off by {in_digits(found.mean_absolute_error)} "
        f"on average ({certain}{groups}); always answering the mean would be off by {in_digits(found.mean_guess_error)}, the "
        f"median by {in_digits(found.median_guess_error)}"
    )
    if n_trained_on:
        return sentence + f"; {some_of_them(n_trained_on, 'was', 'were')} trained on, so the error is too low."
    if evaluation.leaked:
        return (
            sentence
            + f"; {some_of_them(evaluation.leaked, 'has', 'have')} a twin or a relative in train, so the error is too low."
        )
    if evaluation.selected_on:
        return sentence + "; some of the model was chosen on these images, so the error may be too low."
    return sentence + "."


def numbers_table(evaluation: NumberEvaluation) -> Sequence[tuple[str, str, str, str]]:
    """(name, value, 95 % interval, meaning)."""
    found = evaluation.numbers
    few = too_few(evaluation.n, evaluation.n_groups)
    lacking = f"too few {few}"

    def plain(interval: tuple[float, float] | None) -> str:
        return lacking if interval is None else range_in_digits(*interval)

    rows = [
        (
            "mean absolute error",
            in_digits(found.mean_absolute_error),
            plain(found.mean_absolute_error_ci95),
            f"how far answers are off on average; of {evaluation.n} images",
        ),
        (
            "error of the mean",
            in_digits(found.mean_guess_error),
            "",
            "the same if the mean of the training images were always answered",
        ),
        ("error of the median", in_digits(found.median_guess_error), "", "the same of their median"),
        (
            "root mean squared error",
            in_digits(found.root_mean_squared_error),
            "",
            "the same, where large errors count for more",
        ),
        (
            "R2",
            "–" if found.r2 is None else _r2_in_words(found.r2),
            plain(found.r2_ci95) if found.r2 is not None else "",
            "the share of the variance that the answers explain; 0 for always answering the mean",
        ),
        ("bias", in_digits(found.bias), "", "mean of answer - truth"),
    ]
    if evaluation.intervals is not None:
        rows += [
            (
                "coverage of intervals",
                share(evaluation.intervals.coverage),
                interval_in_words(evaluation.intervals.coverage_ci95, lacking),
                "the share of images whose number is inside the interval around the answer",
            ),
            ("width of intervals", in_digits(evaluation.intervals.mean_width), "", "on average"),
        ]
    return tuple(rows)


def _r2_in_words(r2: float) -> str:
    """With three decimals; it has no lower limit."""
    return f"{r2:.3f}" if r2 > WORST_IN_FULL else in_digits(r2)


def intervals_in_words(intervals: NumberIntervals, set_on: str, *, promised: bool) -> str:
    """What the intervals promise."""
    low, high = (2 * width for width in (min(intervals.half_widths), max(intervals.half_widths)))
    wide = f"{in_digits(low)} wide" if low == high else f"{range_in_digits(low, high)} wide, as the answer is"
    says = (
        f"the interval around an answer holds the true number of {intervals.coverage:.0%} of images like the {intervals.n} "
        f"that it was set on ({set_on}); it is {wide}"
    )
    return says if promised else f"{says}; this is not a promise: the best epoch was chosen on the same images"


def numbers_story(
    evaluation: NumberEvaluation,
    intervals: NumberIntervals | None,
    strategy: str,
    doubts: Sequence[str],
    farthest: Sequence[str],
) -> Story:
    """How certain the numbers are, what could be wrong, and what to do next; `farthest` are paths, the largest errors first."""
    found, certainty, steps = evaluation.numbers, [], []
    if found.mean_absolute_error_ci95 is None:
        certainty.append("There are too few unrelated images to say how certain the error is.")
    gain = 1 - found.mean_absolute_error / found.median_guess_error if found.median_guess_error else 0.0
    if gain > 0:
        certainty.append(f"The error is {gain:.0%} smaller than that of the best answer that does not look at the image.")
    else:
        certainty.append("The model is no better than always answering the median: it has learnt nothing that helps.")
    if found.r2 is not None:
        certainty.append(
            f"The answers explain {max(0.0, found.r2):.0%} of the variance of the true numbers (R2 {_r2_in_words(found.r2)})."
        )
    kept = evaluation.intervals
    if intervals is None:
        certainty.append("There are too few unrelated images for intervals around the answers.")
    elif kept is not None:
        certainty.append(
            f"Of these images {kept.coverage:.1%} have their number inside the interval around the answer, where "
            f"{intervals.coverage:.0%} were asked for."
        )
        if kept.coverage_ci95 is not None and kept.coverage_ci95[1] < intervals.coverage - CLEARLY:
            doubts = (
                *doubts,
                "the intervals hold fewer true numbers than promised: these images differ from the training images",
            )
    if farthest:
        steps.append(f"Look at the images with the largest errors, for wrong labels or hard cases: {', '.join(farthest)}.")
    if evaluation.n_groups < 100:
        steps.append("Measure it on more images: with a hundred the error is known better.")
    if strategy == "probe":
        steps.append("Try --strategy finetune, which trains the network too, if minutes matter less than the error.")
    return Story(tuple(certainty), tuple(doubts), tuple(steps))
