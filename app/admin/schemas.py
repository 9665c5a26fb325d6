"""What is told about versions of the model."""

from typing import Any

from pydantic import BaseModel, Field


class Version(BaseModel):
    version: str
    preset: str
    active: bool
    device: str
    dtype: str
    runner: str = Field(description="who turns histories into vectors: torch, or native code for a kind of processor")
    num_items: int
    max_len: int = Field(description="newest items of a history that the model looks at")
    created: str
    figures: dict[str, float] = Field(description="on the test part, when it was trained")
    bytes: dict[str, int] = Field(description="memory by part")
    scoring: dict[str, Any] = Field(description="how the catalogue is searched, and the timings that decided it")


class Versions(BaseModel):
    models: list[Version]
