"""What can be set of a deployment on Ray: variables with the prefix NEXTUP_RAY_, or arguments of `serve run`.

It knows numbers and their bounds, and which settings of the service (app/settings.py) do not fit them. It does not know
Ray: what the numbers do to a deployment is in ray_serve.py.
"""

from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.settings import Settings


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


def settings_for_replicas(settings: Settings, ray: RaySettings) -> Settings:
    """The settings of each replica; a ValueError names the variable that does not fit."""
    if settings.redis_url is None:
        raise ValueError("NEXTUP_REDIS_URL: replicas share the histories, so they need a Redis that all of them reach")
    if settings.workers != 1:
        raise ValueError("NEXTUP_WORKERS: Ray runs replicas and not workers; set NEXTUP_RAY_MAX_REPLICAS")
    if not settings.api_keys and not settings.allow_anonymous:
        raise ValueError(
            "NEXTUP_API_KEYS: where Ray's proxies listen is not known here; set keys, or NEXTUP_ALLOW_ANONYMOUS=1 if "
            "something in front of them checks callers"
        )
    if settings.device == "cuda" and not ray.num_gpus:
        raise ValueError("NEXTUP_RAY_NUM_GPUS: NEXTUP_DEVICE=cuda needs a GPU, or a share of one, for each replica")
    if settings.metrics_key is not None and ray.metrics_port:
        raise ValueError("NEXTUP_RAY_METRICS_PORT: these ports ask nobody for NEXTUP_METRICS_KEY; unset one of the two")
    return settings.model_copy(update={"torch_threads": settings.torch_threads or max(1, int(ray.num_cpus))})
