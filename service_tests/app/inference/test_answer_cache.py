"""The cache of answers against a reference: bounds, no answer of another or an erased user, nothing too old."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.inference import AnswerCache, TopItems
from app.inference.query import NO_KEYS
from models.catalogue.item_key import item_keys
from service_tests.support.artifacts import tiny_catalogue

CATALOGUE = tiny_catalogue()
LIFETIME_S = 100.0
MAX_ENTRIES = 4
MAX_BYTES = 2_000
USERS = st.sampled_from([f"user-{number}" for number in range(6)])
VERSIONS = st.sampled_from(["1", "2"])


def make_answer(indices: list[int], version: str = "1") -> TopItems:
    scores = [float(-position) for position in range(len(indices))]
    return TopItems(indices, scores, "model", np.empty(0, dtype=np.int64), version, CATALOGUE)


class Cache(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.cache = AnswerCache(
            max_bytes=MAX_BYTES, lifetime_s=LIFETIME_S, max_entries=MAX_ENTRIES, clock=lambda: self.now_s
        )
        self.answers: dict[str, tuple[list[int], str, float]] = {}
        """The newest answer of each user with its version and time; the cache may have evicted it."""
        self.histories: dict[str, list[int]] = {}
        self.history_versions: dict[str, int] = {}
        self.item_numbers = 0

    def make_items(self, count: int) -> list[int]:
        """Distinct items that no other answer has, so that a mix-up shows."""
        self.item_numbers += count
        return list(range(self.item_numbers - count + 1, self.item_numbers + 1))

    @rule(user=USERS, version=VERSIONS, count=st.integers(1, 40))
    def put(self, user: str, version: str, count: int) -> None:
        self.history_versions[user] = self.history_versions.get(user, 0) + 1
        items = self.make_items(count)
        version_number, history = self.history_versions[user], item_keys([f"{user} {len(items)}"])
        erasures = self.cache.erasures
        self.cache.put(user, make_answer(items, version), history, version_number, erasures=erasures)
        self.answers[user] = items, version, self.now_s
        self.histories[user] = history.tolist()

    @rule(user=USERS, other=USERS)
    def put_while_a_user_is_erased(self, user: str, other: str) -> None:
        erasures = self.cache.erasures
        self.erase(other)
        self.cache.put(user, make_answer(self.make_items(3)), NO_KEYS, 1, erasures=erasures)

    @rule(user=USERS)
    def erase(self, user: str) -> None:
        self.cache.forget(user)
        self.answers.pop(user, None)
        self.history_versions.pop(user, None)

    @rule(user=USERS, item=st.integers(1, 99))
    def store_event(self, user: str, item: int) -> None:
        """The cached answer is for a later history now, and the item is seen."""
        self.history_versions[user] = self.history_versions.get(user, 0) + 1
        self.cache.add_event(user, f"i{item}", self.history_versions[user])
        if user in self.histories:
            self.histories[user] += item_keys([f"i{item}"]).tolist()

    @rule(seconds=st.floats(0, LIFETIME_S))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(user=USERS, version=VERSIONS)
    def get(self, user: str, version: str) -> None:
        answer = self.cache.get(user, version)
        if answer is None:
            return
        items, expected_version, put_at = self.answers[user]
        assert [index for index, _ in answer.items] == items
        assert answer.history.tolist() == self.histories[user]
        assert version == expected_version
        assert self.now_s - put_at < LIFETIME_S

    @rule(user=USERS)
    def get_after_an_erasure_elsewhere(self, user: str) -> None:
        """The history began again, so its version is lower than that of the answer."""
        if self.history_versions.get(user, 0) > 1:
            assert all(self.cache.get(user, version, 1) is None for version in ("1", "2") if user in self.cache)
            self.history_versions[user] = 1
            self.cache.discard(user)

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.cache) <= MAX_ENTRIES
        assert 0 <= self.cache.used_bytes <= MAX_BYTES
        assert (self.cache.used_bytes == 0) == (len(self.cache) == 0)


TestCache: Any = Cache.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_newest_answer_is_kept_and_the_least_recently_used_is_evicted() -> None:
    cache = AnswerCache(max_bytes=10_000, lifetime_s=LIFETIME_S, max_entries=2)
    cache.put("a", make_answer([1]), NO_KEYS, 1, erasures=0)
    cache.put("b", make_answer([2]), NO_KEYS, 1, erasures=0)
    assert cache.get("a", "1") is not None
    cache.put("c", make_answer([3]), NO_KEYS, 1, erasures=0)
    assert ("a" in cache, "b" in cache, "c" in cache) == (True, False, True)
    cache.put("a", make_answer([5, 6]), NO_KEYS, 2, erasures=0)
    answer = cache.get("a", "1")
    assert answer is not None
    assert answer.items == [(5, 0.0), (6, -1.0)]


def test_cache_without_memory_keeps_nothing() -> None:
    cache = AnswerCache(max_bytes=0, lifetime_s=LIFETIME_S)
    cache.put("a", make_answer([1]), NO_KEYS, 1, erasures=0)
    assert len(cache) == 0
