"""Field types that several request bodies share."""

from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, BeforeValidator, FailFast, Field, StringConstraints

NOT_UNICODE = "must be valid Unicode text"


def check_unicode(value: str) -> str:
    """ValueError for a lone surrogate, which JSON can hold and no store or path can."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(NOT_UNICODE) from None
    return value


def read_id(value: Any) -> Any:
    """Convert an integer to text; ValueError for a text that is not valid Unicode."""
    if isinstance(value, str):
        return check_unicode(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


UnicodeText = Annotated[str, AfterValidator(check_unicode)]
"""A text of any length; types with a bound check their encoding themselves."""
MAX_IDS = 100_000
"""Most ids in any list of a request."""
MAX_ID_CHARACTERS = 128


class FirstProblem(FailFast):
    """Ends the validation of a list at its first wrong value; hashable, so that `| None` may follow it."""

    def __hash__(self) -> int:
        return hash(self.fail_fast)


Id = Annotated[str, BeforeValidator(read_id), StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS)]
"""An id of a user or an item: 1 to 128 characters; an integer is converted to text."""

DOT_SEGMENTS = (".", "..")
"""Ids that HTTP clients resolve as parts of a path before they send it (RFC 3986, section 5.2.4), escaped or not."""


def check_addressable(value: str) -> str:
    """ValueError for an id that most clients cannot put into a path, to read or erase what it names."""
    if value in DOT_SEGMENTS:
        raise ValueError("must not be '.' or '..', which HTTP clients remove from paths; use another id")
    return value


NewId = Annotated[Id, AfterValidator(check_addressable), Field(json_schema_extra={"not": {"pattern": r"^\.{1,2}$"}})]
"""An id under which a request stores something that paths address."""


def convert_integers(value: Any) -> Any:
    """Convert all integers of a list together: a call per value costs more than the validation of a text.

    Ends at the first value that is neither, because the validation does, and behind the longest list that is valid.
    """
    if not isinstance(value, list):
        return value
    head, rest = value[: MAX_IDS + 1], []
    kinds = set(map(type, head))
    if kinds <= {str}:
        return value
    if not kinds <= {str, int}:
        end = next(index for index, item in enumerate(head) if type(item) not in (str, int))
        head, rest = head[:end], head[end:]
    if kinds == {int}:
        return _format_integers(head)
    texts = iter(_format_integers([item for item in head if type(item) is int]))
    return [item if type(item) is str else next(texts) for item in head] + rest


def _format_integers(integers: list[int]) -> list[str]:
    """Format as str() does, in a quarter of its time, which would hold the event loop up."""
    return msgspec.json.encode(integers)[1:-1].decode().split(",") if integers else []


Ids = list[Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS)]]
"""A list of ids like `Id`: an Annotated adds its largest length, FIRST_PROBLEM and FROM_INTEGERS, in this order."""
FIRST_PROBLEM = FirstProblem()
FROM_INTEGERS = BeforeValidator(convert_integers)
