"""What a model is made of: sizes, and one named part for each of the three rooms.

This is stored inside the artifact, so an artifact can always build its model again. It knows no part: Python itself
refuses an option that a part does not take, when `models/build.py` builds it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """One part by its name in `models/build.py`, with the options of its constructor."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes are counts; `max_len` is the number of newest items a model looks at.

    `intervals`: the time between an event and the one before it joins the item's vector.
    """

    embedding: Part
    encoder: Part
    head: Part
    dim: int = 64
    max_len: int = 200
    dropout: float = 0.2
    intervals: bool = False
    preset: str = "custom"

    def __post_init__(self) -> None:
        for name in ("dim", "max_len"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ModelConfig":
        parts = {name: Part(**values[name]) for name in ("embedding", "encoder", "head")}
        return cls(**{**values, **parts})
