"""Pages of an answer: a cursor carries the items that were shown, so that the next page repeats none of them.

Nothing is stored: a cursor is signed (`app/runtime/signing.py`), so any process of the service can continue from it,
with the history and the model of that moment. It is not encrypted. It has the item keys of all pages before, 11
characters per item, and small parameters of the first request; large ones have to be sent with every page, and a
fingerprint shows if they are not the same.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import msgspec
import numpy as np

from app.errors import InvalidRequest
from app.inference import Query, TopItems
from app.recommend.fast_schema import RecommendParams
from app.recommend.request_keys import NO_ITEMS
from app.recommend.schemas import RecommendRequest
from app.runtime.signing import SignatureError, Signer
from models.catalogue.item_key import ItemKeys, item_keys

MAX_SHOWN = 1000
"""Most items of all pages together."""
REPEATED_FIELDS = (
    *("categories", "candidates", "exclude", "filter", "boost", "promote", "limit_per", "diversity"),
    "cold_items",
    "rotate",
)
"""Fields that each page has to repeat; those of a placement are its own."""
FINGERPRINT_BYTES = 8
START_AGAIN = "start again without a cursor"


Fingerprints = tuple[bytes, ...]
"""Of REPEATED_FIELDS, empty for an empty field; a cursor of an earlier release has only the first ones."""


class _State(msgspec.Struct, array_like=True, frozen=True):
    """Content of a cursor."""

    expires_at: int
    user_id: str | None
    k: int
    exclude_seen: bool
    fingerprints: Fingerprints
    shown: bytes
    placement: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the request, completed by its cursor, and the items of the pages before."""

    request: RecommendParams
    shown: ItemKeys
    fingerprints: Fingerprints | None
    """Those of the first page; None if this is the first."""
    own: RecommendParams
    """The request without the settings of a placement."""

    @property
    def k(self) -> int:
        return min(self.request.k, MAX_SHOWN - len(self.shown))

    def complete(self, request: RecommendParams) -> "Page":
        """Return the page with a request that has the settings of its placement."""
        return self if request is self.request else replace(self, request=request)


class Pager:
    def __init__(self, keys: Sequence[bytes], *, lifetime_s: int) -> None:
        """A cursor can be used for `lifetime_s` after its answer."""
        self._signer = Signer(keys, purpose="cursor")
        self._lifetime_s = lifetime_s
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_State)

    def open(self, request: RecommendParams) -> Page:
        """Read the cursor of a request; InvalidRequest for one that is not valid, or not for this request."""
        if request.cursor is None:
            return Page(request, NO_ITEMS, None, request)
        state = self._read(request.cursor)
        if state.user_id is None and request.history is None:
            raise InvalidRequest.for_field("history", "is required, as for the first page")
        if request.user_id is not None and request.user_id != state.user_id:
            raise InvalidRequest.for_field("user_id", "is not that of the cursor; leave it out, or send it without one")
        if request.placement is not None and request.placement != state.placement:
            raise InvalidRequest.for_field("placement", f"is not that of the cursor; leave it out, or {START_AGAIN}")
        whole = _complete(request, state)
        return Page(whole, np.frombuffer(state.shown, dtype="<u8"), state.fingerprints, whole)

    def check_filters(self, page: Page, query: Query, exclude: ItemKeys) -> Fingerprints:
        """Return the fingerprints of REPEATED_FIELDS; InvalidRequest for one that differs from the first page's.

        `exclude` are the items that the request excludes, without those of the pages before.
        """
        request = page.own
        fingerprints = (
            _compute_fingerprint("\0".join(request.categories).encode()),
            b"" if query.candidates is None else _compute_fingerprint(query.candidates.tobytes() + b"."),
            _compute_fingerprint(exclude.tobytes()),
            *(_compute_fingerprint(_encode_value(value)) for value in _list_rules(request)),
        )
        first_page = fingerprints if page.fingerprints is None else page.fingerprints
        first_page += (b"",) * (len(fingerprints) - len(first_page))
        for name, own, first in zip(REPEATED_FIELDS, fingerprints, first_page, strict=True):
            if own != first:
                raise InvalidRequest.for_field(name, f"is not that of the first page; repeat it, or {START_AGAIN}")
        return fingerprints

    def make_cursor(self, page: Page, top: TopItems, fingerprints: Fingerprints) -> str | None:
        """Return the cursor of the next page; None if no more items are eligible, or enough were shown.

        `limit_per` may shorten a page though items are left, which the next page, with limits of its own, can have.
        """
        shown = np.concatenate([page.shown, item_keys(top.item_ids)])
        fewest = 1 if page.request.limit_per else page.k
        if len(top.indices) < fewest or len(shown) >= MAX_SHOWN:
            return None
        request = page.request
        expires_at = int(time.time()) + self._lifetime_s
        state = _State(
            expires_at,
            request.user_id,
            request.k,
            request.exclude_seen,
            fingerprints,
            shown.astype("<u8").tobytes(),
            request.placement,
        )
        return self._signer.sign(self._encoder.encode(state))

    def _read(self, cursor: str) -> _State:
        try:
            state = self._decoder.decode(self._signer.verify(cursor))
        except (SignatureError, msgspec.DecodeError):
            reason = f"is not a cursor of this service, or its signing key was removed; {START_AGAIN}"
            raise InvalidRequest.for_field("cursor", reason) from None
        if state.expires_at < time.time():
            raise InvalidRequest.for_field("cursor", f"has expired; {START_AGAIN}")
        return state


def _compute_fingerprint(data: bytes) -> bytes:
    return blake2b(data, digest_size=FINGERPRINT_BYTES).digest() if data else b""


def _encode_value(value: object) -> bytes:
    """Encode the value of a field, empty for an empty one."""
    return msgspec.json.encode(value) if value else b""


def _list_rules(request: RecommendParams) -> list[object]:
    """List filter, rules, `cold_items` and rotation of a request, equal for both paths on which it may come."""
    boosts = [(boost.filter, float(boost.add)) for boost in request.boost]
    promotions = [(promotion.filter, promotion.slots, list(promotion.positions)) for promotion in request.promote]
    excludes_new = request.cold_items == "exclude"
    return [
        request.filter,
        boosts,
        promotions,
        sorted(request.limit_per.items()),
        float(request.diversity),
        excludes_new,
        None if request.rotate is None else (request.rotate.minutes, float(request.rotate.penalty)),
    ]


def _complete(request: RecommendParams, state: _State) -> RecommendParams:
    """Add parameters of the first page that this request leaves out."""
    assert isinstance(request, RecommendRequest), "the hot path forwards requests with a cursor"
    first = {"k": state.k, "exclude_seen": state.exclude_seen}
    missing = {name: value for name, value in first.items() if name not in request.model_fields_set}
    return request.model_copy(update={"user_id": state.user_id, "placement": state.placement, **missing})
