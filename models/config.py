"""Configuration of a model: sizes, and the names and options of its embedding, encoder and head.

It is stored in the artifact, so that an artifact can always rebuild its model. Options are checked by the constructors
of the parts, when `models/build.py` calls them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_PERIODS = 1024
MAX_TRANSITIONS = 64


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
        for name in ("dim", "max_len"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 (got {getattr(self, name)})")
        if not 0 <= self.periods <= MAX_PERIODS:
            raise ValueError(f"periods must be from 0 to {MAX_PERIODS} (got {self.periods})")
        if not 0 <= self.transitions <= MAX_TRANSITIONS:
            raise ValueError(f"transitions must be from 0 to {MAX_TRANSITIONS} (got {self.transitions})")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1 (got {self.dropout})")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ModelConfig":
        parts = {name: Part(**values[name]) for name in ("embedding", "encoder", "head")}
        return cls(**{**values, **parts})
