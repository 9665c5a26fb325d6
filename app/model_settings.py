"""Settings of how versions of a model are loaded, compared and kept; part of `Settings`."""

from pydantic import Field
from pydantic_settings import BaseSettings


class ModelSettings(BaseSettings):
    """Loading, comparison and rollback of versions."""

    activation_timeout_s: float = Field(
        default=900.0, gt=0, description="maximum time to load a version that is activated"
    )
    shadow_requests: int = Field(
        default=64,
        ge=0,
        le=1024,
        description="recent requests, kept in memory for a minute, with which a new version is compared; 0 = off",
    )
    shadow_max_latency_ratio: float = Field(
        default=5.0,
        ge=0,
        description="a new version is rejected if its queries take this many times as long, above 2 ms; 0 = off",
    )
    shadow_min_overlap: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="a new version is rejected if its answers share fewer items with the serving one; 0 = only warn",
    )
    keep_previous: bool = Field(
        default=True, description="keep the previous version in memory, if there is room, for an instant rollback"
    )
    new_items_max: int = Field(
        default=2000,
        ge=0,
        le=20_000,
        description="items of the live catalogue that a version was not trained on and may recommend: those that "
        "changed last; 0 = off",
    )
    copy_artifacts: bool = Field(
        default=True,
        description="serve from read-only copies in NEXTUP_DATA_DIR, so that no change of files reaches the service",
    )
