"""Settings of the Ray Serve deployment: NEXTUP_RAY_ variables, or arguments of `serve run`.

Also checks that the settings of the service (app/settings.py) are compatible with Ray. Does not import Ray.
"""

from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.settings import Settings


class RaySettings(BaseSettings):
    """Each field is the variable NEXTUP_RAY_<FIELD IN CAPITALS>; `serve run … field=value` takes precedence."""

    model_config = SettingsConfigDict(
        env_prefix="NEXTUP_RAY_", frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    num_cpus: float = Field(default=1, gt=0, description="cores that Ray reserves per replica; its compute threads")
    num_gpus: float = Field(default=0, ge=0, description="GPU share that Ray reserves per replica, such as 0.25")
    min_replicas: int = Field(default=1, ge=1, description="minimum number of replicas")
    max_replicas: int = Field(default=4, ge=1, le=1000, description="maximum number of replicas")
    target_ongoing_requests: float = Field(
        default=16, gt=0, description="autoscaling target: running and queued requests per replica"
    )
    max_ongoing_requests: int = Field(default=64, ge=1, description="concurrent requests per replica")
    max_queued_requests: int = Field(
        default=256, ge=1, description="requests queued per proxy; more are rejected with 503"
    )
    upscale_delay_s: float = Field(default=10, ge=0, description="how long load must exceed the target to scale up")
    downscale_delay_s: float = Field(
        default=300, ge=0, description="how long load must be below the target to scale down"
    )
    health_check_period_s: float = Field(default=5, gt=0, description="interval between health checks of a replica")
    health_check_timeout_s: float = Field(
        default=10, gt=0, description="a replica that does not respond within this time is replaced"
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=64_535,
        description="first of max_replicas metrics ports; each replica takes a free one; 0 = none",
    )

    @field_validator("num_gpus")
    @classmethod
    def _check_gpu_share(cls, number: float) -> float:
        if number > 1 and number != int(number):
            raise ValueError(f"num_gpus must be a whole number above 1 (got {number:g})")
        return number

    @model_validator(mode="after")
    def _check_order_of_bounds(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas must be at least min_replicas, {self.min_replicas} (got {self.max_replicas})"
            )
        if self.max_ongoing_requests < self.target_ongoing_requests:
            raise ValueError(
                f"max_ongoing_requests must be at least target_ongoing_requests={self.target_ongoing_requests:g} "
                f"(got {self.max_ongoing_requests}); the target would never be reached"
            )
        return self


def make_replica_settings(settings: Settings, ray: RaySettings) -> Settings:
    """Derive the settings of a replica; ValueError names the variable that is incompatible with Ray."""
    if settings.redis_url is None:
        raise ValueError("NEXTUP_REDIS_URL: must be set, because replicas share the histories in one Redis")
    if settings.workers != 1:
        raise ValueError("NEXTUP_WORKERS: must be 1, because Ray runs replicas; set NEXTUP_RAY_MAX_REPLICAS instead")
    if not settings.has_api_keys and not settings.allow_anonymous:
        raise ValueError(
            "NEXTUP_API_KEYS: must be set, because Ray's proxies may listen on any address; set keys, or "
            "NEXTUP_ALLOW_ANONYMOUS=1 if a proxy in front authenticates callers"
        )
    if settings.device == "cuda" and not ray.num_gpus:
        raise ValueError("NEXTUP_RAY_NUM_GPUS: must be above 0, because NEXTUP_DEVICE=cuda needs a GPU per replica")
    if settings.metrics_key is not None and ray.metrics_port:
        raise ValueError(
            "NEXTUP_RAY_METRICS_PORT: cannot be combined with NEXTUP_METRICS_KEY, because these ports check no key; "
            "unset one of the two"
        )
    changes = {"torch_threads": settings.torch_threads or max(1, int(ray.num_cpus))}
    # Ray's proxies listen, not this process, so its address does not tell which hosts are local.
    return settings.model_copy(update={**changes, "allowed_hosts": settings.allowed_hosts or "*"})
