"""Settings of the HTTP edge: path prefix, host names, origins and connections. Part of app/settings.py."""

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

ROUTES = frozenset(
    "recommend similar events users items models livez readyz healthz metrics docs redoc openapi.json".split()  # noqa: SIM905
)
"""First segments of the service's own paths, with which a path prefix must not begin."""
_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[?[0-9a-f:]+\]?")


class EdgeSettings(BaseSettings):
    """Settings that only the HTTP edge uses."""

    root_path: str = Field(
        default="", description="path prefix under which a proxy publishes the service, such as /shop; it may strip it"
    )
    cors_origins: str = Field(
        default="",
        description="comma-separated origins whose pages may call the API, such as https://shop.example; * = all; "
        "unset = none",
    )
    allowed_hosts: str = Field(
        default="",
        description="comma-separated host names that requests may be sent to, such as api.example or *.example; * = "
        "all; unset = all, but without API keys on a loopback address only localhost and IP addresses",
    )
    keep_alive_s: float = Field(
        default=75.0, gt=0, le=3600, description="how long an idle connection stays open; more than the load balancer's"
    )
    max_head_bytes: int = Field(
        default=65_536, ge=1024, le=1_048_576, description="maximum size of a request's line and headers together"
    )
    head_timeout_s: float = Field(
        default=10.0, gt=0, le=3600, description="maximum time from the first byte of a request to its last header"
    )
    body_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="maximum time from the first byte of a request to its last, and to take the answer",
    )
    max_connections: int = Field(
        default=0,
        ge=0,
        description="open connections per process; 0 = what the limit of open files allows, at most 10,000",
    )

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, text: str) -> str:
        path = text.strip().rstrip("/")
        if path and not _ROOT_PATH.fullmatch(path):
            raise ValueError(f"must be a path such as /shop or /api/nextup (got {text[:80]!r})")
        if path and path.split("/")[1] in ROUTES:
            raise ValueError(f"must not begin with a path of the service itself (got {text[:80]!r}); choose another")
        return path

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, text: str) -> str:
        origins = [origin.removesuffix("/") for origin in split_list(text)]
        for origin in origins:
            if origin != "*" and not _is_origin(origin):
                raise ValueError(f"must list origins such as https://shop.example (got {origin[:80]!r})")
        return ",".join(origins)

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, text: str) -> str:
        hosts = [host.lower() for host in split_list(text)]
        for host in hosts:
            if host != "*" and not _HOST.fullmatch(host):
                raise ValueError(f"must list host names such as api.example, without a port (got {host[:80]!r})")
        return ",".join(hosts)


def split_list(text: str) -> list[str]:
    """Split a comma-separated setting."""
    return list(filter(None, map(str.strip, text.split(","))))


def _is_origin(text: str) -> bool:
    try:
        url = urlsplit(text)
        is_whole = text == f"{url.scheme}://{url.netloc}".lower()
        return is_whole and url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
