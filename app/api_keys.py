"""API keys with their scopes and rate limits; settings contain only hashes, never the keys.

A key is 32 random bytes as text, so its plain SHA-256 cannot be reversed, and looking it up by hash leaks nothing
through timing.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

PREFIX = "nextup_"
SCOPES = ("read", "write", "admin")
"""`admin` includes all scopes; `write` does not include `read`."""


@dataclass(slots=True)
class ApiKey:
    """A key and its token bucket: `rate` requests per second, 0 for no limit; a burst may use one second's worth."""

    name: str
    scopes: frozenset[str]
    rate: float = 0.0
    _tokens: float = field(default=0.0, repr=False)
    _refilled_at: float = field(default=float("-inf"), repr=False)

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def take_token(self, now: float) -> float:
        """Take one token and return 0, or return the seconds until a token is available."""
        if not self.rate:
            return 0.0
        self._refill(now)
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self.rate
        self._tokens -= 1.0
        return 0.0

    def charge(self, now: float, count: int) -> None:
        """Take tokens in any case; debt delays the next ones."""
        self._refill(now)
        self._tokens -= count

    def _refill(self, now: float) -> None:
        capacity = max(1.0, self.rate)
        elapsed_s = now - self._refilled_at
        self._tokens = capacity if elapsed_s > 1e6 else min(capacity, self._tokens + elapsed_s * self.rate)
        self._refilled_at = now


class ApiKeys:
    """Keys parsed from `name:scope+scope:sha256,…`; a ValueError gives the number of the entry, no part of a key."""

    def __init__(self, text: str, *, rate: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._by_hash: dict[str, ApiKey] = {}
        self.replace(text)

    def replace(self, text: str) -> None:
        """Replace all keys by those of another text; a ValueError changes nothing."""
        by_hash: dict[str, ApiKey] = {}
        names: set[str] = set()
        for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
            name, _, definition = entry.partition(":")
            scopes, _, digest = definition.partition(":")
            try:
                by_hash[_check_hash(digest)] = ApiKey(_check_name(name), _check_scopes(scopes.split("+")), self._rate)
                if name in names:
                    raise ValueError(f"its name {name!r} is defined twice")
            except ValueError as error:
                raise ValueError(f"entry {number} is not name:scopes:sha256: {error}; see nextup key") from None
            names.add(name)
        self._by_hash = by_hash

    def __len__(self) -> int:
        return len(self._by_hash)

    def find(self, token: str) -> ApiKey | None:
        return self._by_hash.get(hash_token(token))

    def take_token(self, key: ApiKey) -> float:
        return key.take_token(self._clock())


def generate_key(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """Generate a key, which is not stored anywhere, and its entry for NEXTUP_API_KEYS."""
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"the name of a key must consist of letters, digits, - and _ (got {name!r})")
    token = PREFIX + secrets.token_urlsafe(32)
    return token, f"{name}:{'+'.join(sorted(_check_scopes(scopes)))}:{hash_token(token)}"


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _check_name(name: str) -> str:
    """Refuse a key in the place of a name, which errors and logs would quote."""
    if name.startswith(PREFIX) and len(name) > len(PREFIX) + 32:
        raise ValueError("it begins with a key, which must not be stored")
    return name


def _check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    unique = frozenset(scopes)
    if not unique or unique - set(SCOPES):
        raise ValueError(f"scopes must be one or more of {', '.join(SCOPES)}, joined by +")
    return unique


def _check_hash(digest: str) -> str:
    if len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef"):
        raise ValueError("the hash must have 64 hexadecimal digits")
    return digest.lower()
