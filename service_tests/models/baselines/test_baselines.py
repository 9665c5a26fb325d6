"""Baselines rank as slow loops over the same counts do, for any log, histories and exclusions."""

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.baselines import pairs as pairs_module
from models.baselines.base import BATCH_ROWS, TrainingEvents
from models.baselines.markov import MAX_STEPS
from models.baselines.registry import BASELINES
from models.batch import History

NUM_ITEMS = 9
Scores = dict[int, float]
Log = list[list[int]]

logs = st.lists(st.lists(st.integers(1, NUM_ITEMS), max_size=14), min_size=1, max_size=8)
queries = st.lists(st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=10), min_size=1, max_size=4)


def to_arrays(rows: Log) -> list[History]:
    return [np.array(row, dtype=np.int64) for row in rows]


def score_popular(log: Log, query: list[int]) -> Scores:
    return {}


def score_markov(log: Log, query: list[int]) -> Scores:
    scores: Scores = defaultdict(float)
    for distance, last in enumerate(query[::-1][:MAX_STEPS], start=1):
        counts: Scores = defaultdict(float)
        for history in log:
            for position, item in enumerate(history):
                for step in range(1, MAX_STEPS + 1):
                    if item == last and position + step < len(history):
                        counts[history[position + step]] += 1 / step
        for item, count in counts.items():
            scores[item] += count / sum(counts.values()) / distance
    return scores


def score_cooccurrence(log: Log, query: list[int]) -> Scores:
    scores: Scores = defaultdict(float)
    users = {item: {user for user, history in enumerate(log) if item in history} for item in range(1, NUM_ITEMS + 1)}
    for item in set(query):
        for other in users:
            if other != item and (both := len(users[item] & users[other])):
                scores[other] += both / math.sqrt(len(users[item]) * len(users[other]))
    return scores


def score_vsknn(log: Log, query: list[int]) -> Scores:
    sessions = [history for history in log if history]
    decay = {item: (position + 1) / len(query) for position, item in enumerate(query)}
    scores: Scores = defaultdict(float)
    for session in sessions:
        for item in set(session):
            frequency = sum(item in other for other in sessions)
            for similar in set(session) if item in decay else ():
                scores[similar] += decay[item] * math.log1p(len(sessions) / frequency)
    return scores


REFERENCES: dict[str, Callable[[Log, list[int]], Scores]] = {
    "popular": score_popular,
    "markov": score_markov,
    "cooccurrence": score_cooccurrence,
    "vsknn": score_vsknn,
}


@pytest.mark.parametrize("name", BASELINES)
@settings(deadline=None)
@given(log=logs, histories=queries, k=st.integers(1, 12), keep_seen=st.booleans())
def test_ranking_equals_the_slow_reference(name: str, log: Log, histories: Log, k: int, keep_seen: bool) -> None:
    baseline = BASELINES[name].fit(TrainingEvents.from_histories(to_arrays(log), NUM_ITEMS))
    rows = to_arrays(histories)
    top = baseline.rank(rows, k, excluded=None if keep_seen else rows)
    assert top.shape == (len(rows), k)
    for query, ranking in zip(histories, top.tolist(), strict=True):
        scores = REFERENCES[name](log, query)
        eligible = set(range(1, NUM_ITEMS + 1)) - (set() if keep_seen else set(query))
        # Candidates are before all others; rounding to float32 may swap equal sums, so scores are compared.
        ranked = [item for item in ranking if item]
        assert len(set(ranked)) == len(ranked) == min(k, len(eligible))
        assert set(ranked) <= eligible
        expected = sorted(eligible, key=lambda item: (-scores.get(item, 0.0), item))[:k]
        reached = [scores.get(item, 0.0) for item in ranked]
        assert reached == pytest.approx([scores.get(item, 0.0) for item in expected], rel=1e-5)
        without_evidence = [item for item in ranked if item not in scores]
        assert without_evidence == sorted(without_evidence), "items without evidence are in catalogue order"


@pytest.mark.parametrize("name", BASELINES)
def test_ranking_does_not_depend_on_the_batch_or_the_size_of_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    log = [rng.integers(1, 200, length).astype(np.int64) for length in rng.integers(1, 30, 300)]
    queries = [row for row in log if len(row) > 1] * 2
    assert len(queries) > BATCH_ROWS
    events = TrainingEvents.from_histories(log, 200)
    whole = BASELINES[name].fit(events).rank(queries, 10, excluded=queries)
    monkeypatch.setattr(pairs_module, "MAX_BLOCK_PAIRS", 50)
    baseline = BASELINES[name].fit(events)
    single = [baseline.rank([query], 10, excluded=[query])[0] for query in queries[:50]]
    assert whole[:50].tolist() == [row.tolist() for row in single]


def test_newest_sessions_are_neighbours_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.baselines.vsknn.MAX_SESSIONS_PER_ITEM", 1)
    log = to_arrays([[1, 5], [1, 6], [1, 7]])
    times = [np.array([second, second], dtype=np.uint32) for second in (10, 30, 20)]
    baseline = BASELINES["vsknn"].fit(TrainingEvents.from_histories(log, NUM_ITEMS, times))
    query = to_arrays([[1]])
    assert baseline.rank(query, 2, excluded=query).tolist() == [[6, 2]]


def test_histories_of_large_logs_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.baselines.base.MAX_TRAINING_EVENTS", 10)
    events = TrainingEvents.from_histories(to_arrays([[user, user] for user in range(1, 21)]), 20)
    assert events.items.tolist() == [1, 1, 5, 5, 9, 9, 13, 13, 17, 17]
