"""An operation of the service."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Route(Generic[T]):
    """Method, path and answer of an operation.

    `is_repeatable`: sent twice, it has the effect of once. `has_deadline`: the service accepts a deadline. `renamed`:
    fields of the body whose names Python reserves, with their names in JSON.
    """

    name: str
    method: str
    path: str
    answer: type[T]
    is_repeatable: bool = False
    has_deadline: bool = False
    renamed: tuple[tuple[str, str], ...] = ()
