"""The numbers of an evaluation, worded for reports, model cards and the command line."""

from collections.abc import Sequence

from headstart.evaluation.grade_metrics import GradeMetrics
from headstart.evaluation.intervals import in_words, too_few
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.set_metrics import LabelSetMetrics
from headstart.evaluation.tree_metrics import TreeMetrics

SPLIT_IN_WORDS = {
    "val": "validation images",
    "test": "test images",
    "cv": "images, each answered by a model not trained on it (cross-validation)",
    "all": "images",
}


def images_judged(n: int, split: str) -> str:
    """ "1 validation image", "12 test images"."""
    words = SPLIT_IN_WORDS[split]
    return f"{n} {words.replace('images', 'image', 1) if n == 1 else words}"


def some_of_them(n: int, one: str, several: str) -> str:
    """ "1 of them has", "3 of them have"."""
    return f"{n} of them {one if n == 1 else several}"


def summary_sentence(evaluation: Evaluation, n_trained_on: int = 0) -> str:
    """The claim in one sentence: the share that is right, its interval, and whether the images were used before."""
    if evaluation.grades:
        sentence = _grades_sentence(evaluation.grades, evaluation)
    elif evaluation.label_sets:
        sentence = _sets_sentence(evaluation.label_sets, evaluation)
    else:
        sentence = (
            f"{evaluation.accuracy:.1%} of {images_judged(evaluation.n, evaluation.split)} are classified correctly ("
            + in_words(evaluation.accuracy_ci95, evaluation.n, evaluation.n_groups)
            + (f", from {evaluation.n_groups} unrelated groups)" if evaluation.n_groups < evaluation.n else ")")
        )
    if n_trained_on:
        return sentence + f"; {some_of_them(n_trained_on, 'was', 'were')} trained on, so the number is too high."
    if evaluation.leaked:
        return sentence + f"; {some_of_them(evaluation.leaked, 'has', 'have')} a twin in train, so the number is too high."
    if not evaluation.selected_on:
        return sentence + "; nothing was selected on them."
    views = f"the views were chosen on {evaluation.views_chosen_on} of them" if evaluation.views_chosen_on else ""
    if not evaluation.epoch_chosen_on:
        return f"{sentence}; {views}, so expect a little less on new ones."
    sentence += f"; {views}" if views else ""
    few = too_few(evaluation.n, evaluation.n_groups)
    if evaluation.selection_corrected:
        corrected = evaluation.selection_corrected
        low, high = corrected.accuracy_ci95
        return sentence + (
            f"; the best epoch was chosen on these very images, and without that advantage it is {corrected.accuracy:.1%} "
            f"({'too few groups' if few == 'groups' else f'{low:.1%} to {high:.1%}'})."
        )
    return sentence + "; the best epoch was chosen on these very images, so expect a little less on new ones."


def _grades_sentence(grades: GradeMetrics, evaluation: Evaluation) -> str:
    """The claim about grades: how far off they are, beside always answering the median, and how many are exactly right."""
    off, guessing = f"{grades.mean_absolute_error:.2f}", f"{grades.guessing_error:.2f}"
    interval = grades.mean_absolute_error_ci95
    certain = f"95 % interval {interval[0]:.2f} to {interval[1]:.2f}" if interval else "too few to say how certain"
    groups = f", from {evaluation.n_groups} unrelated groups" if evaluation.n_groups < evaluation.n else ""
    return (
        f"The answers to {images_judged(evaluation.n, evaluation.split)} are {off} grades off on average ({certain}{groups}; "
        f"always the middle grade: {guessing}), and {evaluation.accuracy:.1%} are exactly right"
    )


def _sets_sentence(sets: LabelSetMetrics, evaluation: Evaluation) -> str:
    """The claim about several labels: the mean average precision, and how many answers are right as a whole."""
    groups = f", from {evaluation.n_groups} unrelated groups" if evaluation.n_groups < evaluation.n else ""
    ranked = "The labels cannot be judged"
    if sets.mean_average_precision is not None:
        interval = sets.mean_average_precision_ci95
        certain = f"95 % interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else "too few to say how certain"
        ranked = f"The mean average precision of the labels is {sets.mean_average_precision:.3f} ({certain}{groups})"
    return (
        f"{ranked} on {images_judged(evaluation.n, evaluation.split)}; {evaluation.accuracy:.1%} of them have all their "
        f"labels right, and {1 - sets.wrong_share:.1%} of all labels are"
    )


def uneven_sentence(evaluation: Evaluation) -> str:
    """What to look at if some classes are much larger than others: numbers that give every class the same weight."""
    return (
        f"balanced accuracy {evaluation.balanced_accuracy:.1%}, macro-F1 {evaluation.macro_f1:.3f}: "
        "the classes are uneven, and these give every class the same weight"
    )


def number_rows(evaluation: Evaluation) -> Sequence[tuple[str, str, str, str]]:
    """(name, value, 95 % interval, meaning)."""
    groups = f" in {evaluation.n_groups} unrelated groups" if evaluation.n_groups < evaluation.n else ""
    few = too_few(evaluation.n, evaluation.n_groups)
    lacking = f"too few {few}"
    rows = [
        (
            "accuracy",
            share(evaluation.accuracy),
            interval_in_words(None if few else evaluation.accuracy_ci95, lacking),
            f"of {evaluation.n} images{groups}",
        ),
        (
            "balanced accuracy",
            share(evaluation.balanced_accuracy),
            interval_in_words(evaluation.balanced_accuracy_ci95, lacking),
            "the mean recall of the classes: rare ones count as much as frequent ones",
        ),
        (
            "macro-F1",
            share(evaluation.macro_f1),
            interval_in_words(evaluation.macro_f1_ci95, lacking),
            "the mean F1 of the classes",
        ),
    ]
    if evaluation.grades is not None:
        rows += _grade_rows(evaluation.grades, lacking)
    if evaluation.tree is not None:
        rows += _tree_rows(evaluation.tree, lacking)
    if evaluation.label_sets is not None:
        rows = _set_rows(evaluation, evaluation.label_sets, lacking)
    if evaluation.top5_accuracy is not None:
        rows.append(("top-5 accuracy", share(evaluation.top5_accuracy), "", "the true class is among the five most probable"))
    return (
        *rows,
        (
            "log loss",
            f"{evaluation.log_loss:.3f}",
            interval_in_words(evaluation.log_loss_ci95, lacking),
            f"how wrong the probabilities are, in nats per {'label' if evaluation.label_sets else 'image'}; 0 is best",
        ),
        (
            "calibration error",
            share(evaluation.ece),
            "",
            "mean gap between confidence and accuracy (ECE, 15 equal-mass bins)",
        ),
    )


def _grade_rows(grades: GradeMetrics, lacking: str) -> list[tuple[str, str, str, str]]:
    return [
        (
            "mean absolute error",
            f"{grades.mean_absolute_error:.3f}",
            interval_in_words(grades.mean_absolute_error_ci95, lacking),
            f"grades between an answer and the truth; always the middle grade: {grades.guessing_error:.3f}",
        ),
        (
            "quadratic kappa",
            share(grades.quadratic_kappa),
            interval_in_words(grades.quadratic_kappa_ci95, lacking),
            "agreement beyond chance, mistakes counted by their squared distance (Cohen 1968)",
        ),
        (
            "within one grade",
            share(grades.within_one),
            interval_in_words(grades.within_one_ci95, lacking),
            "the share of answers that are at most one grade off",
        ),
    ]


def _set_rows(evaluation: Evaluation, sets: LabelSetMetrics, lacking: str) -> list[tuple[str, str, str, str]]:
    groups = f" in {evaluation.n_groups} unrelated groups" if evaluation.n_groups < evaluation.n else ""
    return [
        (
            "mean average precision",
            share(sets.mean_average_precision),
            interval_in_words(sets.mean_average_precision_ci95, lacking),
            "how well images with a label are ranked before those without: the mean over the labels",
        ),
        ("macro-F1", share(evaluation.macro_f1), "", "the mean F1 of the labels: rare ones count as much as frequent ones"),
        ("micro-F1", share(sets.micro_f1), "", "F1 over all labels of all images: frequent labels count more"),
        (
            "wrong labels",
            share(sets.wrong_share),
            interval_in_words(sets.wrong_share_ci95, lacking),
            "the share of labels said wrongly or missed (Hamming loss)",
        ),
        (
            "accuracy",
            share(evaluation.accuracy),
            interval_in_words(evaluation.accuracy_ci95, lacking),
            f"of {evaluation.n} images{groups}, those whose labels are all right (subset accuracy)",
        ),
        ("labels an image", f"{sets.labels_per_image:.2f}", "", f"on average; in the answers {sets.labels_per_answer:.2f}"),
    ]


def _tree_rows(tree: TreeMetrics, lacking: str) -> list[tuple[str, str, str, str]]:
    levels = [
        (
            f"accuracy, level {level.depth}",
            share(level.accuracy),
            interval_in_words(level.accuracy_ci95, lacking),
            f"if only the first {level.depth} of {len(tree.levels)} levels count: {level.n_nodes} to choose from",
        )
        for level in tree.levels[:-1]
    ]
    of_mistakes = "" if tree.mistake_distance is None else f"; {tree.mistake_distance:.2f} where the answer is wrong"
    return [
        *levels,
        (
            "distance",
            f"{tree.mean_distance:.3f}",
            interval_in_words(tree.mean_distance_ci95, lacking),
            f"steps along the tree from the answer to the truth{of_mistakes}; 2 between classes of the same parent",
        ),
    ]


def interval_in_words(interval: tuple[float, float] | None, without: str = "too few") -> str:
    """An interval of a share as tables show it; `without` one, why there is none."""
    return without if interval is None else f"{share(interval[0])} to {share(interval[1])}"


def share(value: float | None) -> str:
    """A share with three digits; a dash if there is none."""
    return "–" if value is None else f"{value:.3f}"
