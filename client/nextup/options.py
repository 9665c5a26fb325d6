"""Options that both clients share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from nextup.retries import RetryPolicy

ApiKey = str | Callable[[], str] | None
"""A key, or a function that returns the current one: it is called again after an answer 401."""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """See `nextup.Client`."""

    base_url: str
    api_key: ApiKey = field(default=None, repr=False)
    timeout_s: float = 5.0
    deadline_s: float = 15.0
    max_concurrency: int = 64
    max_answer_bytes: int = 64 * 2**20
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must be an address such as http://127.0.0.1:8000")
        if parts.username or parts.password:
            raise ValueError("base_url must not contain a user or a password; use api_key")
        for name in ("timeout_s", "deadline_s", "max_concurrency", "max_answer_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive (got {getattr(self, name)})")

    def read_key(self) -> str | None:
        return self.api_key() if callable(self.api_key) else self.api_key
