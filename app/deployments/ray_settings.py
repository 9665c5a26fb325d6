"""What can be set of a deployment on Ray: environment variables with the prefix NEXTUP_RAY_, or arguments of the builder.

It knows numbers and their bounds. What they do to a deployment is in ray_serve.py; what the service itself can be told
is in app/settings.py.
"""

from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class RaySettings(BaseSettings):
    """Each field is the variable NEXTUP_RAY_<FIELD IN CAPITALS>; what `serve run … field=value` says goes before it."""

    model_config = SettingsConfigDict(env_prefix="NEXTUP_RAY_", frozen=True, extra="forbid")

    num_cpus: float = Field(default=1, gt=0, description="cores that Ray reserves for a replica; its compute threads")
    num_gpus: float = Field(default=0, ge=0, description="share of a GPU that Ray reserves for a replica, such as 0.25")
    min_replicas: int = Field(default=1, ge=1, description="replicas when nobody asks")
    max_replicas: int = Field(default=4, ge=1, le=1000, description="replicas at most")
    target_ongoing_requests: float = Field(
        default=16, gt=0, description="requests per replica, running and queued, that autoscaling aims at"
    )
    max_ongoing_requests: int = Field(default=64, ge=1, description="requests that a replica is sent at once")
    max_queued_requests: int = Field(
        default=256, ge=1, description="requests that wait in each proxy; more are refused with 503"
    )
    upscale_delay_s: float = Field(default=10, ge=0, description="how long there must be too many requests")
    downscale_delay_s: float = Field(default=300, ge=0, description="how long there must be too few requests")
    health_check_period_s: float = Field(default=5, gt=0, description="how often a replica is asked for its health")
    health_check_timeout_s: float = Field(
        default=10, gt=0, description="a replica that does not answer for so long is replaced"
    )
    metrics_port: int = Field(
        default=0, ge=0, le=64_535, description="first of max_replicas ports; each replica takes a free one; 0 = none"
    )

    @field_validator("num_gpus")
    @classmethod
    def _a_share_or_whole_ones(cls, number: float) -> float:
        if number > 1 and number != int(number):
            raise ValueError("more than one GPU must be a whole number of them")
        return number

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas={self.max_replicas} is below min_replicas={self.min_replicas}")
        if self.max_ongoing_requests < self.target_ongoing_requests:
            raise ValueError(
                f"max_ongoing_requests={self.max_ongoing_requests} is below "
                f"target_ongoing_requests={self.target_ongoing_requests:g}, which would never be reached"
            )
        return self
