"""Evaluation asks as the service would; checked with popularity, whose answers can be worked out by hand."""

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
from models.predictor import Predictor, RankedItems
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

CATALOGUE = tiny_catalogue(30)
POPULAR = Predictor(tiny_model(tiny_config("popular"), CATALOGUE), torch.device("cpu"))


def dataset(*histories: list[int]) -> Dataset:
    ends = np.cumsum([0] + [len(history) for history in histories])
    users = [f"u{number}" for number in range(len(histories))]
    return Dataset(CATALOGUE, users, ends, np.concatenate(histories).astype(np.int64))


def test_seen_items_do_not_compete() -> None:
    found = evaluate(POPULAR, dataset([1, 2, 4, 5, 3], [6, 7, 8, 9]), "test")
    # the first user had 1, 2, 4 and 5, so 3 is the first answer; the second had 6, 7, 8, so 9 comes after 1 to 5
    assert found.values["hr@5"] == 0.5
    assert found.values["ndcg@10"] == pytest.approx((1 + 1 / math.log2(7)) / 2)
    assert found.values["mrr@10"] == pytest.approx((1 + 1 / 6) / 2)


def test_validation_asks_for_the_event_before_the_last() -> None:
    found = evaluate(POPULAR, dataset([1, 2, 4, 3, 9]), "valid")
    assert found.values["hr@5"] == found.values["ndcg@5"] == 1.0


def test_kept_seen_items_compete() -> None:
    data = dataset([1, 2, 4, 5, 3])
    assert evaluate(POPULAR, data, "test", keep_seen=True).values["mrr@5"] == pytest.approx(1 / 3)


def test_a_repeated_target_is_missed_unless_seen_items_are_kept() -> None:
    data = dataset([1, 2, 4, 1])
    assert evaluate(POPULAR, data, "test").values["hr@20"] == 0.0
    assert evaluate(POPULAR, data, "test").repeats == 1
    assert evaluate(POPULAR, data, "test", keep_seen=True).values["hr@5"] == 1.0


def test_the_sampled_game_ranks_against_strangers_only() -> None:
    data = dataset([1, 2, 4, 30], [1, 2, 4, 3])
    found = evaluate(POPULAR, data, "test", sampled=5, seed=3)
    # item 30 is the least popular of all: behind all five; item 3 is beaten by no stranger
    assert found.values["mrr@10"] == pytest.approx((1 / 6 + 1) / 2)
    all_of_them = evaluate(POPULAR, dataset([1, 2, 4, 30]), "test", sampled=1000)
    assert all_of_them.values["mrr@20"] == 0.0, "26 strangers are all before it"


def test_a_limit_asks_fewer_users_and_short_histories_none() -> None:
    data = dataset([1, 2, 3], [1, 2], [4, 5, 6], [7, 8, 9])
    assert evaluate(POPULAR, data, "test").num_cases == 3
    assert evaluate(POPULAR, data, "test", limit=2).num_cases == 2
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(POPULAR, dataset([1, 2]), "test")


def test_lengths_are_batched_but_answers_stay_with_their_users() -> None:
    rng = np.random.default_rng(0)
    histories = [rng.permutation(30)[:length] + 1 for length in rng.integers(3, 20, 300)]
    predictor = Predictor(tiny_model(tiny_config("sasrec"), CATALOGUE), torch.device("cpu"))
    found = evaluate(predictor, dataset(*[h.tolist() for h in histories]), "test")
    hits = [
        history[-1] in predictor.top_k([history[:-1]], 10, excluded=[history[:-1]]).indices[0] for history in histories
    ]
    assert found.values["hr@10"] == pytest.approx(np.mean(hits))


class Listening(Predictor):
    """Remembers what it was asked."""

    def __init__(self, preset: str) -> None:
        super().__init__(tiny_model(tiny_config(preset), CATALOGUE), torch.device("cpu"))
        self.asked: list[tuple[list[int], list[int] | None]] = []

    def top_k(
        self, histories: Sequence[History], k: int, *, times: Sequence[Times] | None = None, **masks: Any
    ) -> RankedItems:
        of = [None] * len(histories) if times is None else [one.tolist() for one in times]
        self.asked += zip([history.tolist() for history in histories], of, strict=True)
        return super().top_k(histories, k, times=times, **masks)


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_model_that_reads_times_is_asked_with_those_of_the_events_and_another_without(part: SplitPart) -> None:
    rng = np.random.default_rng(0)
    data = dataset(*[rng.integers(1, 31, length).tolist() for length in rng.integers(2, 60, 40)])
    timed = dataclasses.replace(data, times=(data.items + 50).astype(np.uint32))
    reads, does_not = Listening("lsan"), Listening("sasrec")
    for listening in (reads, does_not):
        evaluate(listening, timed, part, limit=20)
    assert len(reads.asked) == 20
    assert all(times == [item + 50 for item in history] for history, times in reads.asked)
    assert all(times is None for _, times in does_not.asked)
