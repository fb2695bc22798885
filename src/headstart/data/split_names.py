"""How people call train, val and test: `seg_train`, `Test_set`, `01_validation`, `dev`."""

import re
from collections.abc import Collection

UNLABELLED = "unlabelled"  # images to be predicted, as some data sets bring along: no split
EVALUATION = "evaluation"  # val, or test where another name means val already
MEANINGS = {
    "train": {"train", "training", "trainval", "trn"},
    "val": {"val", "valid", "validate", "validation", "dev", "devel", "development"},
    "test": {"test", "tests", "testing", "tst", "holdout"},
    EVALUATION: {"eval", "evaluation"},
    UNLABELLED: {"pred", "predict", "prediction", "predictions", "inference", "unlabeled", "unlabelled"},
}
MEANING_OF = {word: meaning for meaning, words in MEANINGS.items() for word in words}
# Words that say nothing of what is in a folder.
FILLERS = (
    "all|cropped|data|dataset|datasets|dir|file|files|final|folder|full|image|images|img|imgs|new|original|part|photo|photos|pic|"
    "pics|picture|pictures|raw|resized|sample|samples|set|sets|split|splits|subset|the|zip"
)
PLAIN = re.compile(rf"(?:{FILLERS})*({'|'.join(sorted(MEANING_OF, key=len, reverse=True))})(?:{FILLERS})*")
EMPTY = re.compile(rf"(?:{FILLERS})+")
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")


def splits_of(names: Collection[str]) -> dict[str, str]:
    """The names (of folders side by side, or in a column) that mean a split -> "train", "val", "test" or UNLABELLED.

    A name means a split if nothing else is in it but words such as `set` or `images`, and numbers; or if another split has the
    same other words (`seg_train`, `seg_test`); or if every name has the word for another split in it.
    """
    plain = {name: meaning for name in names if (meaning := _plain_meaning(name))}
    hinted = {name: hint for name in names if (hint := _hint(name))}
    if 1 < len({meaning for meaning, _ in hinted.values()}) == len(names):
        found = {name: meaning for name, (meaning, _) in hinted.items()}
    elif "train" in plain.values():
        found = plain
    else:
        meanings: dict[tuple[str, ...], set[str]] = {}
        for meaning, rest in hinted.values():
            meanings.setdefault(rest, set()).add(meaning)
        found = plain | {name: meaning for name, (meaning, rest) in hinted.items() if len(meanings[rest]) > 1}
    evaluation = "test" if "val" in found.values() else "val"
    return {name: evaluation if meaning == EVALUATION else meaning for name, meaning in found.items()}


def hints_at_split(name: str) -> str:
    """The split whose word is in a name, even where the name may mean something else ("test" for `test tubes`); "" for none."""
    hint = _hint(name)
    return hint[0] if hint else ""


def says_nothing(name: str) -> bool:
    """Whether a name is made of words such as `images`, `data` and `set` alone."""
    return EMPTY.fullmatch(_letters(name)) is not None


def _plain_meaning(name: str) -> str:
    found = PLAIN.fullmatch(_letters(name))
    return MEANING_OF[found[1]] if found else ""


def _hint(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The meaning of the only split word in a name, and the other words; None if there is none, or more than one."""
    if plain := _plain_meaning(name):
        return plain, ()
    words = [word.lower() for word in WORD.findall(re.sub("hold[ _-]out", "holdout", name, flags=re.IGNORECASE))]
    meant = [(i, MEANING_OF[word]) for i, word in enumerate(words) if word in MEANING_OF]
    if len(meant) != 1:
        return None
    ((place, meaning),) = meant
    return meaning, tuple(words[:place] + words[place + 1 :])


def _letters(name: str) -> str:
    return "".join(re.findall(r"[^\W\d_]+", name.lower()))
