"""What the README.md of a data set on the Hugging Face hub says of its classes."""

from collections.abc import Iterator
from typing import Any

from headstart.errors import DataError, MissingPackageError

CARD = "README.md"
FENCE = "---\n"
NAMED_HERE = "class_label"  # the key below which classes are named
KINDS = ("dtype", "sequence", "list")  # the keys of what a column holds: a value, or a list of values


def class_names_in(card: str, column: str) -> tuple[str, ...]:
    """The classes that a card names for a column of numbers, in their order; none if it names none.

    Raises DataError if two configurations name them differently, and MissingPackageError if YAML cannot be read.
    """
    start, _, rest = card.replace("\r\n", "\n").partition(FENCE)
    about, fence, _ = rest.partition(f"\n{FENCE}")
    if start or not fence or NAMED_HERE not in about:
        return ()
    try:
        import yaml
    except ImportError as error:
        raise MissingPackageError(
            "the classes are named in README.md, and reading it needs yaml, which is not installed",
            hint="pip install 'headstart[hub]'",
        ) from error
    try:
        values = yaml.safe_load(about)
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError("README.md has a front matter that is not YAML", hint="correct it, or remove it") from error
    found = {names for feature in _features(values) if (names := _names(feature, column))}
    if len(found) > 1:
        raise DataError(f"README.md names the classes of {column!r} in several ways", hint="give one Parquet file")
    return next(iter(found), ())


def _features(values: Any) -> Iterator[Any]:
    """The descriptions of columns, of each configuration."""
    infos = values.get("dataset_info") if isinstance(values, dict) else None
    for info in infos if isinstance(infos, list) else [infos]:
        features = info.get("features") if isinstance(info, dict) else None
        yield from features if isinstance(features, list) else ()


def _names(feature: Any, column: str) -> tuple[str, ...]:
    """Its classes: a list, or their numbers as text with their names."""
    kind = None
    if isinstance(feature, dict) and feature.get("name") == column:
        kind = next((feature[key] for key in KINDS if key in feature), None)
    label = kind.get(NAMED_HERE) if isinstance(kind, dict) else None
    names = label.get("names") if isinstance(label, dict) else None
    if isinstance(names, list):
        return tuple(map(str, names))
    if not isinstance(names, dict) or {str(key) for key in names} != {str(i) for i in range(len(names))}:
        return ()
    by_number = {int(key): str(name) for key, name in names.items()}
    return tuple(by_number[i] for i in range(len(by_number)))
