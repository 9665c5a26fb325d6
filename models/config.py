"""Configuration of a model: sizes, and the names and options of its embedding, encoder and head.

It is stored in the artifact, so that an artifact can always rebuild its model. Options are checked by the constructors
of the parts, when `models/build.py` calls them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

MAX_DIM = 8192
MAX_LEN = 16_384
"""The longest history that a store keeps is shorter."""
MAX_PERIODS = 1024
MAX_TRANSITIONS = 64
MAX_OPTION, MAX_OPTION_VALUES = 1 << 31, 1024
"""Largest number in an option, and most numbers in a list: far beyond any model, so that tuples stay small."""
MAX_COUNT = 1 << 20
"""Largest option that is one number, such as the number of layers."""
MAX_TEXT = 128
PART_KINDS = ("embedding", "encoder", "head")


@dataclass(frozen=True, slots=True)
class Part:
    """Name of a part in `models/build.py`, and the options of its constructor."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """`dim` is the width of vectors, `max_len` the number of newest items that a model reads.

    `intervals` adds a vector of the time since the previous event to each item's vector. `periods` is the number of
    periods of the log, whose vectors are added as well; 0 for a model without them.
    `request_times` adds vectors of the time until the next event or the request. `transitions` is the number of
    followers per item in the transition memory; 0 for a model without one.
    """

    embedding: Part
    encoder: Part
    head: Part
    dim: int = 64
    max_len: int = 200
    dropout: float = 0.2
    intervals: bool = False
    periods: int = 0
    request_times: bool = False
    transitions: int = 0
    preset: str = "custom"

    def __post_init__(self) -> None:
        bounds = {
            "dim": (1, MAX_DIM),
            "max_len": (1, MAX_LEN),
            "periods": (0, MAX_PERIODS),
            "transitions": (0, MAX_TRANSITIONS),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high:,} (got {_quote(value)})")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1 (got {_quote(self.dropout)})")
        for name in ("intervals", "request_times"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false (got {_quote(getattr(self, name))})")
        if type(self.preset) is not str or len(self.preset) > MAX_TEXT:
            raise ValueError(f"preset must be a text of at most {MAX_TEXT} characters (got {_quote(self.preset)})")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """Rebuild a config; ValueError names a field that is missing, unknown or out of its bounds."""
        if unknown := sorted(values.keys() - {known.name for known in fields(cls)}):
            raise ValueError(f"{_quote(unknown[0])} is not a field of a model's config")
        parts = {name: _parse_part(name, values.get(name)) for name in PART_KINDS}
        return cls(**{**values, **parts})


def _parse_part(kind: str, values: Any) -> Part:
    if not isinstance(values, dict) or not isinstance(values.get("name"), str):
        raise ValueError(f"{kind} must have a name and options (got {_quote(values)})")
    options = values.get("options", {})
    if values.keys() - {"name", "options"} or not isinstance(options, dict):
        raise ValueError(f"{kind} must have a name and options, and nothing else (got {_quote(values)})")
    for name, value in options.items():
        _check_option(f"{kind}.{name}", value)
    return Part(values["name"], options)


def _check_option(name: str, value: Any) -> None:
    """ValueError unless the value is a short text, a number within bounds, a flag, or a list of numbers."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > MAX_OPTION_VALUES or not all(_is_number(each, MAX_OPTION) for each in value):
            raise ValueError(f"{name} must be at most {MAX_OPTION_VALUES} numbers (got {_quote(value)})")
    elif isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ValueError(f"{name} must be a text of at most {MAX_TEXT} characters (got {_quote(value)})")
    elif value is not None and type(value) is not bool and not _is_number(value, MAX_COUNT):
        raise ValueError(f"{name} must be a number from 0 to {MAX_COUNT:,} (got {_quote(value)})")


def _is_number(value: Any, largest: int) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= largest


def _quote(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 2 * MAX_TEXT else f"{text[: 2 * MAX_TEXT]}…"
