"""Parses filter expressions of requests; an error names the path of the part that is wrong."""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import msgspec

from app.inference.filters.expression import (
    AllOf,
    AnyOf,
    Compares,
    Comparison,
    Contains,
    Exists,
    Expression,
    IsIn,
    ItemFilter,
    Not,
    Value,
)
from models.catalogue.attribute_times import parse_time

MAX_BYTES = 8192
MAX_DEPTH = 8
MAX_PARTS = 64
"""Comparisons of one filter."""
MAX_VALUES = 256
"""Values of one list."""
MAX_NAME, MAX_TEXT = 64, 256
COMPARISONS: tuple[Comparison, ...] = ("lt", "lte", "gt", "gte")
OPERATORS = ("eq", "in", *COMPARISONS, "contains_any", "contains_all", "exists")
FORM = "must be all, any or not, or an attribute with comparisons"


class FilterError(ValueError):
    """`path` names the part of the expression, such as filter.all.0.lt."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def parse_filter(text: bytes, path: str = "filter") -> ItemFilter:
    """Parse the JSON of a filter; FilterError for one that is wrong, too deep or too large.

    `path` is that of the filter in the request.
    """
    if len(text) > MAX_BYTES:
        raise FilterError(path, f"must have at most {MAX_BYTES:,} bytes (got {len(text):,})")
    return _parse_text(text, path)


@lru_cache(maxsize=256)
def _parse_text(text: bytes, path: str) -> ItemFilter:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FilterError(path, f"invalid JSON: {error}") from None
    parser = _Parser()
    return ItemFilter(parser.parse(value, path, 1), text, frozenset(parser.attributes))


class _Parser:
    """Counts the comparisons of one filter, and collects their attributes."""

    def __init__(self) -> None:
        self.attributes: set[str] = set()
        self._parts = 0

    def parse(self, value: Any, path: str, depth: int) -> Expression:
        if not isinstance(value, Mapping):
            _fail(path, f"{FORM}, not {_name(value)}")
        if depth > MAX_DEPTH:
            _fail(path, f"is nested more than {MAX_DEPTH} deep")
        if "attribute" in value:
            return self._parse_comparisons(value, path)
        if len(value) != 1:
            _fail(path, f"{FORM}; it has {', '.join(map(repr, list(value)[:5])) or 'no fields'}")
        ((name, part),) = value.items()
        if name == "not":
            return Not(self.parse(part, f"{path}.not", depth + 1))
        if name not in ("all", "any"):
            _fail(f"{path}.{name[:MAX_NAME]}", f"is no part of a filter, which {FORM}")
        if not isinstance(part, list) or not part:
            actual = "an empty list" if part == [] else _name(part)
            _fail(f"{path}.{name}", f"must be a list of filters with at least one, not {actual}")
        if len(part) > MAX_PARTS:
            _fail(f"{path}.{name}", f"must have at most {MAX_PARTS} parts (got {len(part)})")
        parts = tuple(self.parse(each, f"{path}.{name}.{index}", depth + 1) for index, each in enumerate(part))
        return AllOf(parts) if name == "all" else AnyOf(parts)

    def _parse_comparisons(self, value: Mapping[str, Any], path: str) -> Expression:
        attribute = value["attribute"]
        if not isinstance(attribute, str) or not 0 < len(attribute) <= MAX_NAME:
            _fail(f"{path}.attribute", f"must be a name of 1 to {MAX_NAME} characters")
        self.attributes.add(attribute)
        operators = [name for name in value if name != "attribute"]
        if not operators:
            _fail(path, f"needs a comparison: {', '.join(OPERATORS)}")
        parts = tuple(
            self._parse_comparison(attribute, name, value[name], f"{path}.{name[:MAX_NAME]}") for name in operators
        )
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _parse_comparison(self, attribute: str, operator: str, value: Any, path: str) -> Expression:
        self._parts += 1
        if self._parts > MAX_PARTS:
            _fail(path, f"is one of more than {MAX_PARTS} comparisons")
        for name in COMPARISONS:
            if operator == name:
                return Compares(attribute, name, _parse_bound(value, path))
        if operator == "eq":
            return IsIn(attribute, frozenset([_parse_value(value, path)]))
        if operator == "in":
            return IsIn(attribute, frozenset(_parse_list(value, path, _parse_value)))
        if operator in ("contains_any", "contains_all"):
            return Contains(attribute, frozenset(_parse_list(value, path, _parse_member)), operator == "contains_all")
        if operator == "exists":
            if not isinstance(value, bool):
                _fail(path, f"must be true or false, not {_name(value)}")
            return Exists(attribute) if value else Not(Exists(attribute))
        raise FilterError(path, f"is no comparison; use {', '.join(OPERATORS)}")


def _parse_bound(value: Any, path: str) -> float:
    if isinstance(value, str):
        if (time := parse_time(value)) is None:
            _fail(path, "must be a number or an RFC 3339 time with an offset such as 2026-05-01T00:00:00Z")
        return time
    if isinstance(value, bool) or not isinstance(value, int | float):
        _fail(path, f"must be a number or a time, not {_name(value)}")
    return _parse_number(value, path)


def _parse_value(value: Any, path: str) -> tuple[str, Value]:
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", _parse_number(value, path)
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        time = parse_time(value)
        return ("text", value) if time is None else ("number", time)
    raise FilterError(path, f"must be a number, a time, true, false or a text of at most {MAX_TEXT} characters")


def _parse_member(value: Any, path: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        _fail(path, f"must be a text of at most {MAX_TEXT} characters")
    return value


def _parse_number(value: float, path: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _fail(path, "must be a finite number")
    return number


def _parse_list(value: Any, path: str, parse: Callable[[Any, str], Any]) -> list[Any]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
        _fail(path, f"must be a list of 1 to {MAX_VALUES} values")
    return [parse(each, f"{path}.{index}") for index, each in enumerate(value)]


def _name(value: Any) -> str:
    names = {bool: "a boolean", str: "a text", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")


def _fail(path: str, reason: str) -> NoReturn:
    raise FilterError(path, reason)
