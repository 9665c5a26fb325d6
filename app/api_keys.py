"""API keys: which there are, what each may do, and how often. Only hashes are kept, so settings hold no secret.

A key is 32 random bytes as text, so a plain SHA-256 cannot be guessed back, and a look-up by hash tells nothing by its
time. It knows no HTTP.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

PREFIX = "nextup_"
SCOPES = ("read", "write", "admin")
"""`admin` allows do everything; `write` does not include `read`."""


@dataclass(slots=True)
class ApiKey:
    """`rate` is in requests per second, 0 for no limit; a second's worth may come at once."""

    name: str
    scopes: frozenset[str]
    rate: float = 0.0
    _left: float = field(default=0.0, repr=False)
    _seen_at: float = field(default=float("-inf"), repr=False)

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def take_token(self, now: float) -> float:
        """0 and one request less to spend, or the seconds until there is one."""
        if not self.rate:
            return 0.0
        most = max(1.0, self.rate)
        self._left = most if now - self._seen_at > 1e6 else min(most, self._left + (now - self._seen_at) * self.rate)
        self._seen_at = now
        if self._left < 1.0:
            return (1.0 - self._left) / self.rate
        self._left -= 1.0
        return 0.0


class ApiKeys:
    """`text`: `name:scope+scope:sha256`, separated by commas. ValueError by the name, never by the hash."""

    def __init__(self, text: str, *, rate: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._by_hash: dict[str, ApiKey] = {}
        self._clock = clock
        for entry in filter(None, (part.strip() for part in text.split(","))):
            name, _, rest = entry.partition(":")
            scopes, _, digest = rest.partition(":")
            self._by_hash[_checked_hash(name, digest)] = ApiKey(name, _checked_scopes(name, scopes.split("+")), rate)
        names = [key.name for key in self._by_hash.values()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two API keys are called {min(twice)!r}")

    def __len__(self) -> int:
        return len(self._by_hash)

    def find(self, token: str) -> ApiKey | None:
        return self._by_hash.get(hash_token(token))

    def take_token(self, key: ApiKey) -> float:
        return key.take_token(self._clock())


def generate_key(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """The key itself, which is kept nowhere, and the entry that lets it in."""
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"a key's name is letters, digits, - and _, not {name!r}")
    token = PREFIX + secrets.token_urlsafe(32)
    return token, f"{name}:{'+'.join(sorted(_checked_scopes(name, scopes)))}:{hash_token(token)}"


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _checked_scopes(name: str, scopes: Iterable[str]) -> frozenset[str]:
    found = frozenset(scopes)
    if not found or found - set(SCOPES):
        raise ValueError(f"API key {name!r}: scopes are some of {', '.join(SCOPES)}, joined by +")
    return found


def _checked_hash(name: str, digest: str) -> str:
    if len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef"):
        raise ValueError(f"API key {name!r}: name:scopes:sha256 is meant, with 64 hexadecimal digits (nextup key)")
    return digest.lower()
