"""Comparison with baselines: the same users, intervals, the verdict, and a bounded effort."""

import dataclasses

import numpy as np
import pytest
import torch

from models.data.dataset import Dataset
from models.data.splits import make_cases
from models.evaluation import baselines as baselines_module
from models.evaluation.baselines import BaselineResults, compute_time_limit, rank_baselines
from models.evaluation.comparison import Comparison, compare_with_baselines
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.intervals import compute_intervals, format_interval
from models.predictor import Predictor
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

CATALOGUE = tiny_catalogue(30)
POPULAR = Predictor(tiny_model(tiny_config("popular"), CATALOGUE), torch.device("cpu"))


def make_walks(num_users: int, *, seed: int = 0) -> Dataset:
    """Users who walk through all items in catalogue order, so that a Markov chain is always right."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, 30, num_users), rng.integers(3, 12, num_users)
    histories = [
        (start + np.arange(length)) % 30 + 1 for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return Dataset(CATALOGUE, [f"u{n}" for n in range(num_users)], offsets, np.concatenate(histories).astype(np.int64))


def compare(dataset: Dataset, evaluation: Evaluation | None, name: str = "model") -> Comparison:
    cases = make_cases(dataset, "test")
    return compare_with_baselines(dataset, cases, rank_baselines(dataset, cases), evaluation, name)


def with_ranks(evaluation: Evaluation, rank: int) -> Evaluation:
    return dataclasses.replace(evaluation, target_ranks=np.full(evaluation.num_cases, rank))


def test_baseline_popular_equals_the_popular_model() -> None:
    dataset = make_walks(200)
    cases = make_cases(dataset, "test")
    results = rank_baselines(dataset, cases)
    evaluation = evaluate(POPULAR, dataset, "test")
    assert results.recommended["popular"].tolist() == evaluation.recommended.tolist()
    assert results.target_ranks["popular"].tolist() == evaluation.target_ranks.tolist()


def test_scores_are_ordered_and_compared_with_the_best_baseline() -> None:
    dataset = make_walks(300)
    comparison = compare(dataset, evaluate(POPULAR, dataset, "test"), "weak")
    assert (comparison.best_baseline.name, comparison.best_baseline.gap) == ("markov", None)
    values = [score.ndcg.value for score in comparison.scores]
    assert values == sorted(values, reverse=True)
    for score in comparison.scores:
        assert score.ndcg.interval is not None
        low, high = score.ndcg.interval
        assert low <= score.ndcg.value <= high
        if score.gap is not None:
            assert score.gap.mean == pytest.approx(score.ndcg.value - comparison.best_baseline.ndcg.value)
    table = comparison.format_table()
    assert table.startswith("300 of 300 users (95 % intervals: mean ± 1.96 standard errors")
    assert "against markov" in table
    assert "weak" in table


def test_comparison_and_metrics_have_the_same_intervals() -> None:
    dataset = make_walks(300)
    evaluation = evaluate(POPULAR, dataset, "test")
    comparison = compare(dataset, evaluation, "weak")
    intervals = compute_intervals(evaluation.target_ranks)
    assert comparison.model is not None
    row = comparison.model.to_json()
    assert (row["ndcg@10_interval"], row["hr@10_interval"]) == (intervals["ndcg@10"], intervals["hr@10"])
    assert format_interval(intervals["ndcg@10"]) in comparison.format_table()


def test_single_user_has_no_interval() -> None:
    comparison = compare(make_walks(1), None)
    assert comparison.best_baseline.to_json()["ndcg@10_interval"] is None
    assert "not known" in comparison.format_table()


def test_model_that_is_worse_fails_with_the_difference() -> None:
    dataset = make_walks(300)
    verdict = compare(dataset, with_ranks(evaluate(POPULAR, dataset, "test"), 3), "weak").make_verdict()
    assert (verdict["passed"], verdict["best_baseline"], verdict["users"]) == (False, "markov", 300)
    assert verdict["difference"]["high"] < 0
    assert verdict["message"].startswith("weak is worse than the baseline markov: NDCG@10 0.4307 against ")


def test_model_that_is_equal_passes_with_a_warning_and_one_that_is_better_without() -> None:
    dataset = make_walks(300)
    evaluation = evaluate(POPULAR, dataset, "test")
    cases = make_cases(dataset, "test")
    results = rank_baselines(dataset, cases)
    equal = dataclasses.replace(evaluation, target_ranks=results.target_ranks["markov"])
    comparison = compare(dataset, equal)
    assert (comparison.beats_baselines, comparison.make_verdict()["passed"]) == (False, True)
    assert str(comparison.describe()).startswith("model is level with the baseline markov: NDCG@10 ")
    worse_markov = np.where(np.arange(300) % 2, results.target_ranks["markov"], 9)
    weakened = {name: np.maximum(ranks, worse_markov) for name, ranks in results.target_ranks.items()}
    baselines = dataclasses.replace(results, target_ranks=weakened)
    verdict = compare_with_baselines(dataset, cases, baselines, equal, "model").make_verdict()
    assert (verdict["passed"], verdict["message"]) == (True, None)


def test_lead_within_the_uncertainty_passes_with_a_warning() -> None:
    dataset = make_walks(300)
    cases = make_cases(dataset, "test")
    results = rank_baselines(dataset, cases, names=["popular"])
    ranks = results.target_ranks["popular"].copy()
    ranks[np.flatnonzero(ranks > 20)[0]] = 0
    evaluation = dataclasses.replace(evaluate(POPULAR, dataset, "test"), target_ranks=ranks)
    comparison = compare_with_baselines(dataset, cases, results, evaluation, "model")
    assert comparison.beats_baselines is True
    assert "by less than the uncertainty" in str(comparison.describe())


def test_deficit_within_the_uncertainty_passes_with_a_warning() -> None:
    dataset = make_walks(300)
    ranks = rank_baselines(dataset, make_cases(dataset, "test")).target_ranks["markov"].copy()
    ranks[:1] = 20
    comparison = compare(dataset, dataclasses.replace(evaluate(POPULAR, dataset, "test"), target_ranks=ranks))
    assert (comparison.beats_baselines, comparison.make_verdict()["passed"]) == (False, True)
    assert "is behind the baseline markov by less than the uncertainty" in str(comparison.describe())


@pytest.mark.parametrize(("num_users", "passes"), [(5, True), (6, False)])
def test_few_users_decide_nothing(num_users: int, passes: bool) -> None:
    dataset = make_walks(300)
    cases = make_cases(dataset, "test")
    results = rank_baselines(dataset, cases, max_users=num_users)
    evaluation = with_ranks(evaluate(POPULAR, dataset, "test"), 15)
    assert compare_with_baselines(dataset, cases, results, evaluation, "weak").make_verdict()["passed"] is passes


def test_popularity_itself_has_no_verdict() -> None:
    dataset = make_walks(100)
    comparison = compare(dataset, evaluate(POPULAR, dataset, "test"), "popular")
    assert comparison.make_verdict()["passed"] is None
    assert comparison.describe() is None
    assert [score.name for score in comparison.scores].count("popular") == 2


def select_users(results: BaselineResults) -> list[int]:
    return [int(row) for row in results.rows]


def test_effort_is_bounded_by_users_and_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_walks(400)
    cases = make_cases(dataset, "test")
    whole = rank_baselines(dataset, cases)
    assert select_users(rank_baselines(dataset, cases, max_users=5)) == [0, 99, 199, 299, 399]
    monkeypatch.setattr(baselines_module, "ROUND_USERS", 100)
    assert select_users(rank_baselines(dataset, cases)) == list(range(400))
    limited = rank_baselines(dataset, cases, max_seconds=0.0)
    assert select_users(limited) == list(range(0, 400, 4)), "the first round runs and is spread over all users"
    for name in whole.target_ranks:
        assert limited.target_ranks[name].tolist() == whole.target_ranks[name][limited.rows].tolist()
    comparison = compare_with_baselines(dataset, cases, limited, evaluate(POPULAR, dataset, "test"), "weak")
    assert (comparison.num_users, comparison.num_cases) == (100, 400)


def test_time_limit_is_a_share_of_the_training_time() -> None:
    assert compute_time_limit(2_000.0) == pytest.approx(100.0)
    assert compute_time_limit(1.0) == pytest.approx(10.0)
