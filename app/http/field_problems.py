"""Invalid fields of a request: path and reason, from Pydantic's errors. Does not depend on FastAPI."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from app.errors import FieldError, InvalidRequest
from app.http.unknown_fields import describe_unknown, find_fields

MAX_PROBLEMS = 50
"""Most invalid fields that one error response lists."""
MAX_DETAILS = 3
"""Most of them that its text repeats."""
MAX_PATH_CHARACTERS = 200
UNKNOWN = "extra_forbidden"
"""Pydantic's type of the error of an unknown field."""
LENGTH_LIMITS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}
"""Words and name of the limit by type of Pydantic's errors."""


class FieldProblem(BaseModel):
    """One invalid field of a request."""

    field: str = Field(examples=["events.3.item_id"], description="path of the field in the body, or its parameter")
    detail: str = Field(examples=["Field required"], description="reason why the value is rejected")


def list_field_problems(errors: Iterable[Any], model: Any, limit: int = MAX_PROBLEMS) -> list[FieldError]:
    """Convert Pydantic's errors to field path and reason: the first error of each field, at most `limit` of them.

    `model` is the type of the body, whose fields are listed once per object with unknown ones; None if there is none.
    """
    problems: dict[str, FieldError] = {}
    listed: set[tuple[str | int, ...]] = set()
    for error in errors:
        field = _format_path(error)
        if field not in problems:
            if len(problems) == limit:
                break
            if error["type"] == UNKNOWN:
                *location, name = error["loc"]
                fields = find_fields(model, location)
                reason = describe_unknown(str(name), fields, lists_fields=tuple(location) not in listed)
                listed.add(tuple(location))
            else:
                reason = _format_reason(error)
            problems[field] = {"field": field, "detail": reason}
    return list(problems.values())


def reject_all(name: str, entry: str, problems: Sequence[Sequence[FieldProblem] | None]) -> InvalidRequest:
    """Build the error for a request without a valid entry, with the fields of as many as an error may list.

    `name` is the list's, `entry` that of one of its entries, also as the field of a problem of the whole entry.
    """
    errors: list[FieldError] = []
    for index, entry_problems in enumerate(problems[:MAX_PROBLEMS]):
        for problem in entry_problems or []:
            field = f"{name}.{index}" if problem.field == entry else f"{name}.{index}.{problem.field}"
            errors.append({"field": field, "detail": problem.detail})
    errors = errors[:MAX_PROBLEMS]
    return InvalidRequest.for_fields(errors, f"no {entry} is valid, so none is stored: {format_detail(errors)}")


def format_detail(problems: Sequence[FieldError], limit: int = MAX_DETAILS) -> str:
    """Join the first problems to one line."""
    return "; ".join(f"{problem['field']}: {problem['detail']}" for problem in problems[:limit])


def _format_path(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return "body"
    return format_path(error["loc"])


def format_path(location: Sequence[str | int]) -> str:
    """Join the steps of a location in a body; `body` for the whole one."""
    path = ".".join(map(str, location)) or "body"
    return path if len(path) <= MAX_PATH_CHARACTERS else f"{path[:MAX_PATH_CHARACTERS]}…"


def _format_reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"invalid JSON at character {error['loc'][-1]}: {error['ctx']['error']}"
    # Behind a validator, Pydantic no longer knows that the value is a text, and counts its "items".
    if error["type"] in LENGTH_LIMITS and isinstance(error.get("input"), str):
        words, name = LENGTH_LIMITS[error["type"]]
        limit = error["ctx"][name]
        return f"String should have {words} {limit} character{'' if limit == 1 else 's'}"
    return str(error["msg"]).removeprefix("Value error, ")
