"""All settings of the service: environment variables with the prefix NEXTUP_, typed, units in the names.

Created once by the command that starts the service (`app/environment.py`) and passed on; no other code reads the
environment. A secret is a SecretStr, and no error quotes the value of a setting that may hold one.
"""

from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from app.archive_settings import ArchiveSettings
from app.edge_settings import EdgeSettings
from app.key_settings import ExpandedPath, KeySettings, may_have_keys
from app.model_settings import ModelSettings
from app.redis_url import parse_redis_url
from app.store_settings import StoreSettings

LogFormat = Literal["text", "json"]
MAX_WORKERS = 256


def _parse_workers(value: Any) -> int | str:
    text = str(value).strip()
    if text == "auto":
        return text
    if not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        raise ValueError(f"must be a number from 1 to {MAX_WORKERS}, or auto (got {text!r})")
    return int(text)


def _explain_kubernetes_port(value: Any) -> Any:
    if isinstance(value, str) and "://" in value:
        raise ValueError(
            "must be a number; Kubernetes sets it to a URL for a Service named nextup, unless the pod has "
            "enableServiceLinks: false"
        )
    return value


Port = Annotated[int, BeforeValidator(_explain_kubernetes_port)]
WorkerCount = Annotated[int | Literal["auto"], BeforeValidator(_parse_workers)]


class Settings(KeySettings, EdgeSettings, ModelSettings, StoreSettings, ArchiveSettings):
    """Settings of the service and their defaults; each field is read from NEXTUP_<FIELD IN CAPITALS>."""

    model_config = SettingsConfigDict(
        env_prefix="NEXTUP_", frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: Port = Field(default=8000, ge=0, le=65535, description="port to listen on")
    unix_socket: ExpandedPath | None = Field(
        default=None, description="Unix socket to listen on instead of an address and a port; unset = none"
    )
    workers: WorkerCount = Field(default=1, description="HTTP worker processes; auto = from cores, memory and device")
    artifact: ExpandedPath = Field(
        default=Path("var/demo"), description="artifact directory to serve, or a model repository"
    )
    data_dir: ExpandedPath = Field(
        default=Path("var"), description="directory for files of the embedded Redis and the service"
    )
    allow_anonymous: bool = Field(
        default=False,
        validate_default=True,
        description="allow listening on other than loopback addresses without API keys",
    )

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="device that runs the model")
    model_process: Literal["auto", "in_process", "dedicated"] = Field(
        default="auto",
        description="in_process: a model per worker; dedicated: one process for all; auto = dedicated on a shared GPU",
    )
    model_socket: ExpandedPath | None = Field(
        default=None,
        description="Unix socket of the dedicated model process; unset = a file in NEXTUP_DATA_DIR",
    )
    native: bool = Field(default=True, description="run the model in native code where possible; off = torch only")
    torch_threads: int = Field(
        default=0,
        ge=0,
        description="compute threads per process; 0 = measured, at most the cores that other processes leave",
    )
    max_k: int = Field(default=100, ge=1, le=1000, description="largest k of a request")
    max_batch: int = Field(default=32, ge=1, le=1024, description="maximum queries in one model batch")
    queue_limit: int = Field(default=1024, ge=1, description="maximum queries waiting for the model; more are rejected")
    request_deadline_ms: int = Field(
        default=1000, ge=1, description="deadline of a request, after which it fails with 504; clients may shorten it"
    )
    cursor_lifetime_s: int = Field(
        default=3600, ge=1, le=604_800, description="time for which a `next_cursor` can be used"
    )
    answer_cache_mb: int = Field(
        default=32,
        ge=0,
        description="memory per worker for the last answer of each user, for times without the model or Redis; 0 = off",
    )
    answer_cache_s: float = Field(default=900.0, gt=0, description="age at which a cached answer is not used any more")
    max_body_bytes: int = Field(default=2_000_000, ge=1024, description="maximum size of a request body")
    drain_s: float = Field(default=10.0, ge=0, description="maximum time to finish running requests at shutdown")
    drain_notice_s: float = Field(
        default=1.0,
        ge=0,
        le=600,
        description="part of the drain in which /readyz already answers 503 and new connections are still served",
    )
    stall_s: float = Field(
        default=10.0,
        ge=2,
        le=3600,
        description="a process whose event loop or model makes no progress for this long is replaced, and an embedded "
        "Redis that does not answer; those that are silent and idle are replaced after 2 to 4 s",
    )

    log_format: LogFormat = Field(default="text", description="log lines as text, or as json for log collectors")
    otlp_endpoint: SecretStr | None = Field(
        default=None, description="OTLP/HTTP endpoint for traces, such as http://collector:4318; unset = no tracing"
    )
    trace_sample_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="share of new traces that are sampled; a client's decision takes precedence",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_endpoint(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None or not secret.get_secret_value():
            return None
        if not _is_endpoint(secret.get_secret_value()):
            raise ValueError("must be a URL such as http://collector:4318")
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
            raise ValueError("needs OpenTelemetry for tracing; run pip install 'nextup[otel]'")
        return secret

    @field_validator("redis_url", "stream_url", "metrics_key")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is None or not secret.get_secret_value():
            return None
        if info.field_name in ("redis_url", "stream_url"):
            parse_redis_url(secret.get_secret_value())
        return secret

    @field_validator("redis_wait_replicas")
    @classmethod
    def _check_replicas(cls, count: int, info: ValidationInfo) -> int:
        if count and info.data.get("redis_url", ...) is None:
            raise ValueError(f"needs a Redis with replicas (got {count}); set NEXTUP_REDIS_URL")
        return count

    @field_validator("allow_anonymous")
    @classmethod
    def _check_exposure(cls, is_allowed: bool, info: ValidationInfo) -> bool:
        host = info.data.get("host")
        is_local = host is None or is_loopback(host) or info.data.get("unix_socket") is not None
        if is_allowed or is_local or may_have_keys(info):
            return is_allowed
        raise ValueError(
            f"is not set, and NEXTUP_HOST={host} would expose the service to the network without API keys; set "
            "NEXTUP_API_KEYS, or NEXTUP_ALLOW_ANONYMOUS=1 if a proxy authenticates clients"
        )

    @property
    def worker_count(self) -> int:
        """Number of HTTP processes; 1 while `auto` is not resolved, as in a process that no command started."""
        return 1 if self.workers == "auto" else self.workers

    @property
    def model_socket_path(self) -> Path:
        return self.model_socket or self.data_dir.resolve() / "model.sock"

    @property
    def archive_location(self) -> str:
        """Folder or URL of the archive of the event log."""
        return self.event_log_dir or str(self.data_dir / "events")

    def with_changes(self, **changes: Any) -> Self:
        """Copy the settings with other values, which are checked."""
        return type(self).model_validate({**dict(self), **changes})

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which another process reads these settings, secrets included."""
        values = {name: get_plain_value(value) for name, value in dict(self).items()}
        return {f"NEXTUP_{name.upper()}": str(value) for name, value in values.items() if value is not None}


def _is_endpoint(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not url.query + url.fragment
    except ValueError:  # its text may quote a password
        return False


def get_plain_value(value: Any) -> Any:
    """Return the text of a secret, and any other value unchanged."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a service on this address or name."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.", "ip6-localhost", "ip6-loopback")
