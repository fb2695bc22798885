"""Values that are stored in files: one typed definition per concept, checked in full whenever a file is read."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

MOST = 2**53  # the largest integer that every JSON reader reads exactly

Count = Annotated[int, Field(ge=0, le=MOST)]
Positive = Annotated[int, Field(ge=1, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1)]


def _as_text(path: Any) -> Any:
    return os.fspath(path) if isinstance(path, os.PathLike) else path


# Any path of Python's; written with forward slashes on every platform.
PlainPath = Annotated[Path, BeforeValidator(_as_text), PlainSerializer(Path.as_posix, when_used="json")]


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError("its lower end is above its upper end")
    return interval


Interval = Annotated[tuple[float, float], AfterValidator(_in_order)]
ShareInterval = Annotated[tuple[Share, Share], AfterValidator(_in_order)]


class Schema(BaseModel):
    """A frozen value that is stored as JSON. Every number is finite; unknown keys are ignored when it is read."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True)

    def as_json(self) -> dict[str, Any]:
        """The value as JSON values, under the names used in the file."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The value that `as_json` returned. Nothing is converted: "1" is not a number. Raises ValueError for any problem."""
        try:
            # As text: in strict mode only JSON text may hold a list for a tuple and a string for a path.
            return cls.model_validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            raise ValueError(first_problem(error)) from error


def parse_json(text: str) -> Any:
    """The values in a JSON text. NaN and infinities, which Python's parser accepts, are refused. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def first_problem(error: ValidationError) -> str:
    """Where the first wrong value is and what is wrong with it, such as "images.val.0: string should match pattern ..."."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the top level"
    problem = first["msg"].removeprefix("Value error, ")
    return f"{place}: {problem[:1].lower()}{problem[1:]}"


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not valid JSON")
