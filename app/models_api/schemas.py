"""What is told about versions of the model."""

from typing import Any

from pydantic import BaseModel, Field


class Version(BaseModel):
    """What only a loaded model knows is null, or empty, for a version that is not active."""

    version: str
    preset: str
    active: bool
    device: str | None = None
    dtype: str | None = None
    runner: str | None = Field(
        default=None, description="who turns histories into vectors: torch, or native code for a kind of processor"
    )
    num_items: int | None = None
    max_len: int | None = Field(default=None, description="newest items of a history that the model looks at")
    created: str
    figures: dict[str, float] = Field(description="on the test part, when it was trained")
    bytes: dict[str, int] = Field(description="memory by part")
    disk_bytes: int = Field(description="all files of the artifact")
    scoring: dict[str, Any] = Field(description="how the catalogue is searched, and the timings that decided it")


class Versions(BaseModel):
    models: list[Version]
    active: str = Field(description="serves in the worker that answers")
    wanted: str = Field(description="what every worker comes to, unless it has to refuse it")


class Activated(BaseModel):
    active: str = Field(description="serves from now on in the worker that answers")
    wanted: str = Field(description="what every other worker comes to")
    before: str = Field(description="served until now: activate it to go back")
