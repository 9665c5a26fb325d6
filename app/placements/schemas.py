"""Response bodies of /placements; the request body is `PlacementSettings`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.rules.fields import RULES_EXAMPLE
from app.rules.settings import PlacementSettings

_EXAMPLE: dict[str, Any] = {"name": "home", "settings": {"k": 12, **RULES_EXAMPLE}}


class Placement(BaseModel):
    """A placement: settings under a name."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: str
    settings: PlacementSettings


class PlacementReceipt(BaseModel):
    """Outcome of a write."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "home", "status": "created"}]})

    name: str
    status: Literal["created", "updated", "unchanged"]


class PlacementList(BaseModel):
    """All placements."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"placements": [_EXAMPLE]}]})

    placements: list[Placement] = Field(description="in the order of their names")


class RemovedPlacement(BaseModel):
    """Confirms that a placement is removed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "home"}]})

    name: str
