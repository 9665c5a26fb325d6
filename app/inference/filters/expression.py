"""The parts of a filter expression. AllOf are hashable, so that masks can be cached by expression."""

from dataclasses import dataclass
from typing import Literal

Value = bool | float | str
"""A value to compare with; numbers and times are floats, times as Unix seconds."""
Comparison = Literal["lt", "lte", "gt", "gte"]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Items that match every part."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Items that match at least one part."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Items that do not match the part, those without its attribute included."""

    part: "Expression"


@dataclass(frozen=True, slots=True)
class Compares:
    """Items whose number or time is below or above a bound."""

    attribute: str
    comparison: Comparison
    bound: float


@dataclass(frozen=True, slots=True)
class IsIn:
    """Items whose attribute is one of the values."""

    attribute: str
    values: frozenset[tuple[str, Value]]
    """Kind (number, text or boolean) and value, because True equals 1 in Python."""


@dataclass(frozen=True, slots=True)
class Contains:
    """Items whose list has one of the texts, or all of them; a text counts as a list of one."""

    attribute: str
    texts: frozenset[str]
    needs_all: bool


@dataclass(frozen=True, slots=True)
class Exists:
    """Items that have the attribute."""

    attribute: str


Expression = AllOf | AnyOf | Not | Compares | IsIn | Contains | Exists


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """`text` is the JSON that was parsed, for other processes; `attributes` are the names in the expression."""

    expression: Expression
    text: bytes
    attributes: frozenset[str]
