"""Intervals, recency and popularity bias of an evaluation."""

import numpy as np
import polars as pl
import pytest

from models.data.dataset import Dataset, prepare_dataset
from models.data.splits import Cases, make_cases
from models.evaluation.diversity import compute_diversity, compute_gini
from models.evaluation.intervals import compute_interval, compute_intervals
from models.evaluation.metrics import NOT_RANKED
from models.evaluation.segments import compute_gaps, compute_segments

START = 1_700_000_000


def make_dataset(gaps: list[int], start: int = START) -> Dataset:
    """A user per gap with three events, the last of which follows after that many seconds."""
    rows = [
        {"user_id": f"u{user}", "item_id": f"i{step}", "timestamp": 1000 * time}
        for user, gap in enumerate(gaps)
        for step, time in enumerate((start, start + 10, start + 10 + gap))
    ]
    return prepare_dataset(pl.DataFrame(rows), min_item_events=1)


def test_recency_is_the_time_from_the_last_event_of_the_history_to_the_target() -> None:
    gaps = [0, 60, 61, 86_400, 86_401, 3_000_000]
    dataset = make_dataset(gaps)
    cases = make_cases(dataset, "test")
    assert compute_gaps(dataset, "test", cases).tolist() == gaps
    ranks = np.array([0, NOT_RANKED, 0, 0, 0, 0])
    segments = compute_segments(ranks, cases, dataset.catalogue.counts, compute_gaps(dataset, "test", cases))
    recency = {name: (row["cases"], row["hr@10"]) for name, row in segments.items() if name.startswith("gap")}
    assert recency == {
        "gap up to 1 minute": (2, 0.5),
        "gap up to 1 hour": (1, 1),
        "gap up to 1 day": (1, 1),
        "gap up to 7 days": (1, 1),
        "gap over 30 days": (1, 1),
    }


def test_times_that_only_give_an_order_have_no_recency() -> None:
    dataset = make_dataset([5, 5], start=1)
    cases = make_cases(dataset, "test")
    gaps = compute_gaps(dataset, "test", cases)
    assert gaps.tolist() == [-1, -1]
    segments = compute_segments(np.array([0, 0]), cases, dataset.catalogue.counts, gaps)
    assert not any(name.startswith("gap") for name in segments)


def test_interval_is_the_mean_and_two_standard_errors() -> None:
    values = np.repeat([0.0, 1.0], 50)
    assert compute_interval(values) == pytest.approx([0.5 - 1.96 * 0.05025, 0.5 + 1.96 * 0.05025], abs=1e-4)
    assert compute_interval(np.array([0.0, 1.0])) == [0.0, 1.0], "a mean of values between 0 and 1 is, too"
    assert compute_interval(np.array([1.0])) is None
    intervals = compute_intervals(np.array([0, 9, NOT_RANKED]))
    assert intervals["hr@5"] == compute_interval(np.array([1.0, 0.0, 0.0]))
    assert intervals["hr@10"] == compute_interval(np.array([1.0, 1.0, 0.0]))
    assert intervals["mrr@10"] == compute_interval(np.array([1.0, 0.1, 0.0]))
    assert intervals["ndcg@10"] == compute_interval(np.array([1.0, 1 / np.log2(11), 0.0]))


def test_popularity_lift_compares_recommended_items_with_histories_user_by_user() -> None:
    counts = np.array([40, 20, 10, 10])
    cases = Cases(np.arange(2), [np.array([3, 4]), np.array([2, 2, 2, 2])], np.array([1, 1]))
    diversity = compute_diversity(np.array([[1, 2, 0], [1, 1, 1]]), cases, counts)
    assert diversity["popularity@10"] == pytest.approx((30 + 40) / 2)
    assert diversity["popularity_of_histories"] == pytest.approx((10 + 20) / 2)
    assert diversity["popularity_lift@10"] == pytest.approx(35 / 15 - 1)


def test_gini_index_grows_with_inequality() -> None:
    assert compute_gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert compute_gini(np.array([9, 0, 0])) == pytest.approx(2 / 3)
    assert compute_gini(np.array([0, 0])) == 0
