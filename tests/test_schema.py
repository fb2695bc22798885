"""Values in files are read strictly: nothing is converted, no number is infinite, and what is wrong is said with its place."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from headstart.schema import (
    MOST,
    Count,
    Name,
    PlainPath,
    Positive,
    Schema,
    Sha256,
    Share,
    ShareInterval,
    first_problem,
    parse_json,
)

DIGEST = "0123456789abcdef" * 4


class Part(Schema):
    """A value within another."""

    share: Share
    interval: ShareInterval | None = None


class Whole(Schema):
    """One of each kind."""

    name: Name = "x"
    n: Count = 0
    positive: Positive = 1
    rate: float = 0.5
    on: bool = False
    sha256: Sha256 = DIGEST
    path: PlainPath | None = None
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = Field(default_factory=dict)
    renamed: Annotated[int, Field(alias="in file")] = 3


def test_what_is_written_is_read() -> None:
    """JSON and back is the same value: tuples, paths with forward slashes, and the names that files have."""
    whole = Whole(path=Path("some") / "place", parts=(Part(share=0.25, interval=(0.1, 1)),), renamed=4)
    values = whole.as_json()
    assert values["path"] == "some/place" and values["parts"] == [{"share": 0.25, "interval": [0.1, 1.0]}]
    assert values["in file"] == 4 and "renamed" not in values
    assert Whole.from_json(json.loads(json.dumps(values))) == whole


def test_a_value_cannot_be_changed() -> None:
    """A changed value is a copy; the first stays as it is."""
    whole = Whole()
    with pytest.raises(ValidationError, match="frozen"):
        whole.n = 2
    assert whole.model_copy(update={"n": 2}).n == 2 and whole.n == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n", "1"),
        ("n", 1.5),
        ("n", True),
        ("n", -1),
        ("n", MOST + 1),
        ("n", 10**400),
        ("n", None),
        ("positive", 0),
        ("rate", "0.5"),
        ("rate", math.nan),
        ("rate", math.inf),
        ("rate", -math.inf),
        ("rate", 10**400),
        ("on", 1),
        ("on", "yes"),
        ("name", ""),
        ("name", 3),
        ("name", "a lone surrogate \ud800"),
        ("sha256", DIGEST[1:]),
        ("sha256", DIGEST.upper()),
        ("sha256", DIGEST + "\n"),
        ("sha256", "../" + DIGEST),
        ("path", 7),
        ("parts", {}),
        ("parts", "none"),
        ("parts", [{"share": 1.1}]),
        ("parts", [{"share": math.nan}]),
        ("parts", [{"share": 0.5, "interval": [0.6, 0.4]}]),
        ("parts", [{"share": 0.5, "interval": [0.6]}]),
        ("parts", [{}]),
        ("by_name", []),
        ("by_name", {"a": None}),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(key: str, value: Any) -> None:
    """Wrong types, numbers out of range and what is no finite number: each is refused, with the key it stands under."""
    with pytest.raises(ValueError, match=r"^(the top level|[a-z0-9_]+[a-z0-9_.]*): ") as caught:
        Whole.from_json({key: value})
    assert not isinstance(caught.value, ValidationError)


@pytest.mark.parametrize("values", [None, [], "{}", 3, True])
def test_another_value_in_its_place(values: Any) -> None:
    """What is no object at all is refused as a whole."""
    with pytest.raises(ValueError, match=r"^the top level: "):
        Whole.from_json(values)


def test_unknown_keys_are_left_out() -> None:
    """What a later version adds does not keep this one from reading the rest."""
    assert Whole.from_json({"n": 2, "invented later": [1]}) == Whole(n=2)


def test_a_name_of_the_source_is_read_too() -> None:
    """Values are made by the names of the source; files have the other ones, and both are read."""
    assert Whole.from_json({"in file": 5}) == Whole.from_json({"renamed": 5}) == Whole(renamed=5)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"parts": [{"share": 0}, {"share": 2}]}, "parts.1.share: input should be less than or equal to 1"),
        ({"by_name": {"a b": {}}}, "by_name.a b.share: field required"),
        ({"parts": [{"share": 0, "interval": [1, 0]}]}, "parts.0.interval: its lower end is above its upper end"),
        ({"n": -1, "name": ""}, "name: string should have at least 1 character"),
        ({"rate": math.nan}, "rate: input should be a finite number"),
    ],
)
def test_the_first_problem_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    """Where the first wrong value is and what is wrong with it, without the library's name, links or Python's types."""
    with pytest.raises(ValueError) as caught:
        Whole.from_json(values)
    assert str(caught.value) == sentence
    with pytest.raises(ValidationError) as refused:
        Whole.model_validate_json(json.dumps(values), strict=True)
    assert first_problem(refused.value) == sentence


@pytest.mark.parametrize("text", ["NaN", '{"a": Infinity}', "[-Infinity]", "", "{", "{'a': 1}", "[" * 100_000])
def test_a_text_that_is_no_json(text: str) -> None:
    """What Python's own parser takes beyond JSON is refused, and so is what would exhaust the stack."""
    with pytest.raises(ValueError):
        parse_json(text)


def test_json_is_parsed() -> None:
    """Everything else is what the standard library says."""
    text = '{"a": [1, 2.5, null, true, "ä"]}'
    assert parse_json(text) == json.loads(text)
