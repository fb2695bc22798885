"""The answers before and now for the images that a run and the one that it extends were both judged on."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from headstart.fitting.answers import SplitAnswers
from headstart.fitting.earlier import Earlier, EarlierAnswer
from headstart.fitting.fitted import Fitted


@dataclass(frozen=True, slots=True)
class AnswerPairs:
    """Both answers to each image, at least one image."""

    before: tuple[EarlierAnswer, ...]
    after: SplitAnswers  # for the same images, in the same order


def pairs_of(fitted: Fitted, earlier: Earlier) -> AnswerPairs | None:
    """The pairs in the split of the run's own number, or else in another one; None if no image was judged in both."""
    of_same_split = sorted(fitted.answers, key=lambda answers: answers.split != earlier.split)
    return next((pairs for answers in of_same_split if (pairs := _pairs(fitted, answers, earlier)) is not None), None)


def _pairs(fitted: Fitted, answers: SplitAnswers, earlier: Earlier) -> AnswerPairs | None:
    """Both answers for each image that has two; of files with the same bytes, each with one."""
    waiting: dict[str, list[EarlierAnswer]] = defaultdict(list)
    for one in reversed(earlier.answers):
        waiting[one.sha256].append(one)
    before, is_paired = [], np.zeros(len(answers.indices), bool)
    for place, i in enumerate(answers.indices.tolist()):
        left = waiting.get(fitted.dataset.images[i].sha256)
        if left:
            before.append(left.pop())
            is_paired[place] = True
    return AnswerPairs(tuple(before), answers.only(is_paired)) if before else None
