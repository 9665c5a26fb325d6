"""The model's last answer of each user, for times when the model or the history is not available.

Bounded in entries, bytes and age; the answers that are least recently used are evicted. Each process has its own cache.
An answer leaves it when its user is erased or merged through this process, and when a read finds no history of the
user. Only answers to stored histories that exclude seen items and apply no other filter than `exclude` are kept, with
the items of the history, so each is right for any request of the same user after its own filters.
"""

import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from app.inference.query import TopItems
from models.catalogue.item_key import ItemKeys, item_key

MAX_ENTRIES = 100_000
ENTRY_BYTES = 400
"""Memory of an entry in addition to its items and the user id: objects of Python and their places in the dictionary."""
ITEM_BYTES = 12
MAX_HISTORY_BYTES = 256_000
"""Twice the longest history; an answer whose events would exceed it is removed."""


class CachedAnswer(NamedTuple):
    """An answer of `version` to the history with `history_version`, as bytes: indices are int32, scores float64."""

    version: str
    history_version: int
    expires_at: float
    packed: bytes
    history_keys: bytes
    """Item keys of the history, oldest first, with those of events that were stored since."""

    @property
    def items(self) -> list[tuple[int, float]]:
        """Catalogue indices with scores, in the order of the answer."""
        count = len(self.packed) // ITEM_BYTES
        values = struct.unpack(f"<{count}i{count}d", self.packed)
        return list(zip(values[:count], values[count:], strict=True))

    @property
    def history(self) -> ItemKeys:
        """Items that the user has seen."""
        return np.frombuffer(self.history_keys, dtype="<u8")


class AnswerCache:
    """`max_bytes` 0 turns the cache off. Belongs to the event loop."""

    def __init__(
        self,
        *,
        max_bytes: int,
        lifetime_s: float,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._answers: OrderedDict[str, CachedAnswer] = OrderedDict()
        self._used_bytes = 0
        self.erasures = 0
        """Number of users that were removed; an answer that was computed meanwhile may be that of an erased user."""

    def __len__(self) -> int:
        return len(self._answers)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._answers

    @property
    def used_bytes(self) -> int:
        """Estimated memory of all answers."""
        return self._used_bytes

    def put(self, user_id: str, top: TopItems, history: ItemKeys, history_version: int, *, erasures: int) -> None:
        """Keep an answer of the model; `erasures` is the value of the attribute before the history was read."""
        if erasures != self.erasures or not self._max_bytes:
            return
        indices, now = top.indices, self._clock()
        if (previous := self._answers.get(user_id)) is not None:
            is_same = previous.version == top.version and previous.history_version == history_version
            is_recent = previous.expires_at - now > self._lifetime_s / 2
            if is_same and is_recent and len(previous.packed) == ITEM_BYTES * len(indices):
                return
            self._remove(user_id)
            if previous.history_version > history_version:
                return  # an event has arrived meanwhile, or the history began again after an erasure
        packed = struct.pack(f"<{len(indices)}i{len(indices)}d", *indices, *top.scores)
        answer = CachedAnswer(top.version, history_version, now + self._lifetime_s, packed, history.tobytes())
        self._add(user_id, answer)

    def get(self, user_id: str, version: str, history_version: int | None = None) -> CachedAnswer | None:
        """Return the user's answer of this model version, unless it has expired.

        An answer to a later history than `history_version` is that of a user who was erased since then.
        """
        answer = self._answers.get(user_id)
        if answer is None:
            return None
        is_erased = history_version is not None and answer.history_version > history_version
        if answer.version != version or answer.expires_at <= self._clock() or is_erased:
            self._remove(user_id)
            return None
        self._answers.move_to_end(user_id)
        return answer

    def add_event(self, user_id: str, item_id: str, history_version: int) -> None:
        """Add an item that an event has added to the user's history, which has this version now."""
        if user_id not in self._answers:
            return
        answer = self._remove(user_id)
        assert answer is not None
        if len(answer.history_keys) < MAX_HISTORY_BYTES:
            keys, version = answer.history_keys + item_key(item_id), max(answer.history_version, history_version)
            self._add(user_id, answer._replace(history_keys=keys, history_version=version))

    def discard(self, user_id: str) -> None:
        """Remove the answer of a user whose history is gone."""
        self._remove(user_id)

    def forget(self, *user_ids: str) -> None:
        """Remove the answers of users that are erased; answers that are being computed are not kept either."""
        self.erasures += 1
        for user_id in user_ids:
            self._remove(user_id)

    def _add(self, user_id: str, answer: CachedAnswer) -> None:
        self._answers[user_id] = answer
        self._used_bytes += _count_bytes(user_id, answer)
        while self._used_bytes > self._max_bytes or len(self._answers) > self._max_entries:
            oldest, evicted = self._answers.popitem(last=False)
            self._used_bytes -= _count_bytes(oldest, evicted)

    def _remove(self, user_id: str) -> CachedAnswer | None:
        answer = self._answers.pop(user_id, None)
        if answer is not None:
            self._used_bytes -= _count_bytes(user_id, answer)
        return answer


def _count_bytes(user_id: str, answer: CachedAnswer) -> int:
    return ENTRY_BYTES + len(user_id) + len(answer.packed) + len(answer.history_keys)
