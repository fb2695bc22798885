"""What travels into files and back: one typed definition a concept, checked to the leaf whenever a file is read."""

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

MOST = 2**53  # the largest whole number that every JSON reader keeps exactly

Count = Annotated[int, Field(ge=0, le=MOST)]
Positive = Annotated[int, Field(ge=1, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1)]
PlainPath = Annotated[Path, PlainSerializer(Path.as_posix, when_used="json")]  # forward slashes on every platform


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError("its lower end is above the upper one")
    return interval


Interval = Annotated[tuple[float, float], AfterValidator(_in_order)]
ShareInterval = Annotated[tuple[Share, Share], AfterValidator(_in_order)]


class Schema(BaseModel):
    """A frozen value that is written as JSON. Every number is finite; keys that are not known are ignored when it is read."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True)

    def as_json(self) -> dict[str, Any]:
        """The value as JSON values, by the names that the file has."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The value that `as_json` gave. Nothing is converted: "1" is no number. Raises ValueError with the first problem."""
        try:
            # As text, for only then are a list for a tuple and a text for a path of the right type.
            return cls.model_validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            raise ValueError(first_problem(error)) from error


def parse_json(text: str) -> Any:
    """The values in a JSON text; NaN and infinities, which Python's parser takes, are refused. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def first_problem(error: ValidationError) -> str:
    """Where the first wrong value is and what is wrong with it, such as "images.val.0: string should match pattern ..."."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the top"
    problem = first["msg"].removeprefix("Value error, ")
    return f"{place}: {problem[:1].lower()}{problem[1:]}"


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")
