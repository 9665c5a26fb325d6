"""Evaluation follows the service; checked with popularity, whose rankings can be computed by hand."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from models.batch import History, Times
from models.data.dataset import Dataset
from models.data.splits import SplitPart
from models.evaluation.evaluate import evaluate
from models.predictor import Predictor
from models.scorers.ranked_items import RankedItems
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

CATALOGUE = tiny_catalogue(30)
POPULAR = Predictor(tiny_model(tiny_config("popular"), CATALOGUE), torch.device("cpu"))


def make_dataset(*histories: list[int]) -> Dataset:
    ends = np.cumsum([0] + [len(history) for history in histories])
    users = [f"u{number}" for number in range(len(histories))]
    return Dataset(CATALOGUE, users, ends, np.concatenate(histories).astype(np.int64))


def test_seen_items_are_not_ranked() -> None:
    evaluation = evaluate(POPULAR, make_dataset([1, 2, 4, 5, 3], [6, 7, 8, 9]), "test")
    # the first user had 1, 2, 4 and 5, so 3 ranks first; the second had 6, 7, 8, so 9 ranks after 1 to 5
    assert evaluation.values["hr@5"] == 0.5
    assert evaluation.values["ndcg@10"] == pytest.approx((1 + 1 / math.log2(7)) / 2)
    assert evaluation.values["mrr@10"] == pytest.approx((1 + 1 / 6) / 2)


def test_validation_target_is_the_event_before_the_last() -> None:
    evaluation = evaluate(POPULAR, make_dataset([1, 2, 4, 3, 9]), "valid")
    assert evaluation.values["hr@5"] == evaluation.values["ndcg@5"] == 1.0


def test_keep_seen_ranks_seen_items() -> None:
    data = make_dataset([1, 2, 4, 5, 3])
    assert evaluate(POPULAR, data, "test", keep_seen=True).values["mrr@5"] == pytest.approx(1 / 3)


def test_repeated_target_is_missed_without_keep_seen() -> None:
    data = make_dataset([1, 2, 4, 1])
    assert evaluate(POPULAR, data, "test").values["hr@20"] == 0.0
    assert evaluate(POPULAR, data, "test").repeats == 1
    assert evaluate(POPULAR, data, "test", keep_seen=True).values["hr@5"] == 1.0


def test_sampled_negatives_exclude_items_the_user_had() -> None:
    data = make_dataset([1, 2, 4, 30], [1, 2, 4, 3])
    evaluation = evaluate(POPULAR, data, "test", sampled=5, seed=3)
    # item 30 is the least popular of all and ranks after all five; no sampled item beats item 3
    assert evaluation.values["mrr@10"] == pytest.approx((1 / 6 + 1) / 2)
    all_unseen = evaluate(POPULAR, make_dataset([1, 2, 4, 30]), "test", sampled=1000)
    assert all_unseen.values["mrr@20"] == 0.0, "all 26 unseen items rank before it"


def test_limit_reduces_cases_and_short_histories_have_none() -> None:
    data = make_dataset([1, 2, 3], [1, 2], [4, 5, 6], [7, 8, 9])
    assert evaluate(POPULAR, data, "test").num_cases == 3
    assert evaluate(POPULAR, data, "test", limit=2).num_cases == 2


def test_evaluation_without_cases_states_that_nothing_was_measured() -> None:
    evaluation = evaluate(POPULAR, make_dataset([1, 2]), "test")
    assert evaluation.num_cases == 0
    assert all(np.isnan(value) for value in evaluation.values.values())
    assert "were not measured: no user has three events" in (evaluation.describe_unmeasured() or "")
    assert evaluate(POPULAR, make_dataset([1, 2, 3]), "test").describe_unmeasured() is None


def test_batching_by_length_preserves_the_order_of_users() -> None:
    rng = np.random.default_rng(0)
    histories = [rng.permutation(30)[:length] + 1 for length in rng.integers(3, 20, 300)]
    predictor = Predictor(tiny_model(tiny_config("sasrec"), CATALOGUE), torch.device("cpu"))
    evaluation = evaluate(predictor, make_dataset(*[h.tolist() for h in histories]), "test")
    hits = [
        history[-1] in predictor.top_k([history[:-1]], 10, excluded=[history[:-1]]).indices[0] for history in histories
    ]
    assert evaluation.values["hr@10"] == pytest.approx(np.mean(hits))


class RecordingPredictor(Predictor):
    """Records the histories and times of its calls."""

    def __init__(self, preset: str) -> None:
        super().__init__(tiny_model(tiny_config(preset), CATALOGUE), torch.device("cpu"))
        self.calls: list[tuple[list[int], list[int] | None]] = []

    def top_k(
        self, histories: Sequence[History], k: int, *, times: Sequence[Times] | None = None, **masks: Any
    ) -> RankedItems:
        rows = [None] * len(histories) if times is None else [row.tolist() for row in times]
        self.calls += zip([history.tolist() for history in histories], rows, strict=True)
        return super().top_k(histories, k, times=times, **masks)


@pytest.mark.parametrize("part", ["valid", "test"])
def test_only_models_that_read_times_receive_times(part: SplitPart) -> None:
    rng = np.random.default_rng(0)
    data = make_dataset(*[rng.integers(1, 31, length).tolist() for length in rng.integers(2, 60, 40)])
    timed = dataclasses.replace(data, times=(data.items + 50).astype(np.uint32))
    timed_predictor, untimed_predictor = RecordingPredictor("lsan"), RecordingPredictor("sasrec")
    for predictor in (timed_predictor, untimed_predictor):
        evaluate(predictor, timed, part, limit=20)
    assert len(timed_predictor.calls) == 20
    assert all(times == [item + 50 for item in history] for history, times in timed_predictor.calls)
    assert all(times is None for _, times in untimed_predictor.calls)
