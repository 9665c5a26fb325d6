"""Types of command-line options.

A type parses a text. A text that it rejects ends the command with one line that states the option, the bounds and the
value: `--rounds must be between 1 and 1,000 (got 0)`.
"""

import json
import math
from collections.abc import Callable, Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

Value = TypeVar("Value")
MAX_ID_CHARS = 128
MIN_SIMILARITY = 0.75
"""Least similarity of a name that is suggested: the two dashes of options count for a quarter of short ones."""
DURATION_UNITS = {"s": 1, "m": 60, "h": 3600}
COUNT_UNITS = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


class InvalidText(ValueError):
    """A text that the type of an option rejects; the message continues the name of the option."""


def int_in(low: float, high: int | None = None) -> Callable[[str], int]:
    """Return a type for whole numbers from `low` to `high`, both included."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise InvalidText(f"must be a whole number (got {text!r})") from None
        return _check_bounds(number, low, high)

    return parse


integer = int_in(-math.inf)
positive_int = int_in(1)
non_negative_int = int_in(0)
port_int = int_in(0, 65_535)
seed_int = int_in(0, 2**32 - 1)
thread_int = int_in(0, 1024)


def float_in(
    low: float, high: float | None = None, *, low_open: bool = False, high_open: bool = False
) -> Callable[[str], float]:
    """Return a type for finite numbers from `low` to `high`; an open bound is excluded itself."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InvalidText(f"must be a finite number (got {text!r})")
        return _check_bounds(number, low, high, low_open=low_open, high_open=high_open)

    return parse


finite_float = float_in(-math.inf)
positive_float = float_in(0, low_open=True)
fraction = float_in(0, 1)


def parse_page_url(text: str) -> str:
    """Parse the absolute address of a page, to whose sections links lead."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise InvalidText(f"must be a URL such as https://wiki.example/runbook, without # (got {text!r})")
    return text


def parse_count(text: str) -> int:
    """Parse a count such as `10k`, `2.5m` or `1500`, rounded to a whole number.

    ValueError for anything that is not a finite number.
    """
    word = text.strip().lower()
    unit = COUNT_UNITS.get(word[-1:], 1)
    number = float(word[:-1] if word[-1:] in COUNT_UNITS else word)
    try:
        return round(number * unit)
    except OverflowError:
        raise ValueError(f"{text!r} is not finite") from None


def count_in(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a type for counts such as `10k` or `2.5m` from `low` to `high`, both included."""

    def parse(text: str) -> int:
        try:
            number = parse_count(text)
        except ValueError:
            raise InvalidText(f"must be a count such as 1500, 10k or 2.5m (got {text!r})") from None
        return _check_bounds(number, low, high)

    return parse


count = count_in(1)


def duration_in(low: float, high: float) -> Callable[[str], float]:
    """Return a type for durations such as `90s`, `10m` or `2h`, in seconds from `low` to `high`, both included."""

    def parse(text: str) -> float:
        number, unit = text.strip()[:-1], text.strip()[-1:]
        try:
            seconds = float(number) * DURATION_UNITS[unit]
        except (KeyError, ValueError):
            raise InvalidText(f"must be a duration such as 90s, 10m or 2h (got {text!r})") from None
        if not low <= seconds <= high:
            raise InvalidText(f"must be between {_format_number(low)}s and {_format_number(high)}s (got {text})")
        return seconds

    return parse


def csv_of(parse_item: Callable[[str], Value]) -> Callable[[str], list[Value]]:
    """Return a type for values of another type, separated by commas; at least one."""

    def parse(text: str) -> list[Value]:
        try:
            return [parse_item(word.strip()) for word in text.split(",")]
        except InvalidText as error:
            raise InvalidText(f"takes values separated by commas, and each {error}") from None

    return parse


csv_ints = csv_of(positive_int)
csv_counts = csv_of(count)


def name_in(names: Collection[str]) -> Callable[[str], str]:
    """Return a type for one of these names; for a plain option, `choices` does the same."""

    def parse(text: str) -> str:
        if text not in names:
            raise InvalidText(f"must be one of {', '.join(names)} (got {text!r}){format_suggestion(text, names)}")
        return text

    return parse


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidText(f"must be a JSON object (got {text[:80]!r})")
    return value


def format_suggestion(word: str, names: Collection[str]) -> str:
    """Return `; did you mean 'x'?` if a name is similar, else an empty text."""
    matches = get_close_matches(word, names, n=1, cutoff=MIN_SIMILARITY)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def parse_path(text: str) -> Path:
    """Parse a path with ~ for the home folder; an empty text would be the current folder."""
    if not text or "\0" in text:
        raise InvalidText(f"must be a path (got {text!r})")
    return Path(text).expanduser() if text.startswith("~/") else Path(text)


def parse_id(text: str) -> str:
    """Parse the id of a user or an item: 1 to 128 characters, as everywhere in nextup."""
    if not 1 <= len(text) <= MAX_ID_CHARS:
        raise InvalidText(f"must have 1 to {MAX_ID_CHARS} characters (got {len(text):,})")
    return text


Number = TypeVar("Number", int, float)


def _check_bounds(
    number: Number, low: float, high: float | None, *, low_open: bool = False, high_open: bool = False
) -> Number:
    too_low = number <= low if low_open else number < low
    too_high = high is not None and (number >= high if high_open else number > high)
    if too_low or too_high:
        raise InvalidText(f"must be {_describe_bounds(low, high, low_open, high_open)} (got {_format_number(number)})")
    return number


def _describe_bounds(low: float, high: float | None, low_open: bool, high_open: bool) -> str:
    lower = f"{'above' if low_open else 'at least'} {_format_number(low)}"
    if high is None:
        return lower
    if not low_open and not high_open:
        return f"between {_format_number(low)} and {_format_number(high)}"
    return f"{lower} and {'below' if high_open else 'at most'} {_format_number(high)}"


def _format_number(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"
