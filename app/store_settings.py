"""Settings of Redis and of the histories in it. Part of app/settings.py, which checks the URLs."""

from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from app.feedback_kinds import DEFAULT_TYPES, FeedbackKinds


class StoreSettings(BaseSettings):
    """Settings of the store, which its commands use too."""

    redis_url: SecretStr | None = Field(
        default=None,
        description="redis://, unix://, redis+sentinel:// or redis+cluster://; rediss://, rediss+sentinel:// or "
        "rediss+cluster:// with TLS; unset = embedded Redis",
    )
    stream_url: SecretStr | None = Field(
        default=None, description="Redis whose stream `nextup consume redis` reads; unset = the Redis of the histories"
    )
    redis_pool: int = Field(default=32, ge=1, description="maximum Redis connections per process")
    redis_timeout_ms: int = Field(
        default=500, ge=1, description="timeout of a Redis command and of waiting for a free connection"
    )
    store_deadline_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of a request's deadline that reads of the store may take in total; then the request is "
        "answered without them",
    )
    redis_wait_replicas: int = Field(
        default=0, ge=0, le=16, description="replicas that must confirm an event before it is acknowledged; 0 = none"
    )
    durability: Literal["everysec", "always"] = Field(
        default="everysec",
        description="always: an event is acknowledged when it is on disk, with any Redis; everysec: the embedded Redis "
        "syncs every second",
    )
    history_max_events: int = Field(
        default=1000, ge=1, le=16_000, description="events retained per user, the most recent by event time"
    )
    history_lifetime_days: int = Field(
        default=400, ge=0, description="a history expires this long after its last event; 0 = never"
    )
    catalogue_max_items: int = Field(
        default=5_000_000, ge=1, description="most items in the live catalogue; further ones are refused"
    )
    feedback_types: str = Field(
        default=DEFAULT_TYPES,
        description="event types that are impressions, clicks and conversions of recommendations, as type=kind,…",
    )
    feedback_window_s: int = Field(
        default=7200, ge=1, le=2_592_000, description="time for which Redis remembers what feedback was counted"
    )
    impression_minutes: int = Field(
        default=1440,
        ge=0,
        le=10_080,
        description="time for which Redis remembers what was shown to a user, for `rotate`; 0 = not at all",
    )
    history_types: str = Field(
        default="",
        description="comma-separated event types that enter histories, and those of a training; unset = all but "
        "impressions, dislikes and alike",
    )
    event_id_lifetime_days: int = Field(
        default=7, ge=1, description="how long after a user's last event with an id the ids still identify duplicates"
    )

    @field_validator("feedback_types")
    @classmethod
    def _check_feedback_types(cls, text: str) -> str:
        FeedbackKinds(text)
        return text
