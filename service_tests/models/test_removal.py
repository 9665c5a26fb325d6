"""Explanations by removal, for every embedding and encoder, with and without a transition memory."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import Part
from models.predictor import Predictor
from models.removal import MAX_REASONS, MAX_REMOVALS, can_explain, explain_items
from service_tests.contracts.test_transitions import add_memory
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

CPU = torch.device("cpu")
NUM_ITEMS = 30
CATALOGUE = tiny_catalogue(NUM_ITEMS)
PRESETS = ("blossom", "sasrec", "blossomrec", "cprec", "lsan")
histories = st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=40).map(lambda items: np.array(items, np.int64))


def make_predictor(preset: str, *, with_memory: bool) -> Predictor:
    torch.manual_seed(3)
    model = tiny_model(tiny_config(preset), CATALOGUE)
    if with_memory:
        add_memory(model, seed=2)
    else:
        model.transitions = None
    return Predictor(model, CPU)


PREDICTORS = {
    (preset, with_memory): make_predictor(preset, with_memory=with_memory)
    for preset in PRESETS
    for with_memory in (False, True)
}


@pytest.mark.parametrize("form", PREDICTORS, ids=str)
@settings(deadline=None, max_examples=15)
@given(history=histories)
def test_scores_of_items_are_those_of_the_ranking(form: tuple[str, bool], history: np.ndarray) -> None:
    predictor = PREDICTORS[form]
    top = predictor.top_k([history], NUM_ITEMS)
    scores = predictor.score_items([history, history[-3:]], top.indices[0])
    assert scores[0] == pytest.approx(top.scores[0], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("form", PREDICTORS, ids=str)
@settings(deadline=None, max_examples=15)
@given(history=histories)
def test_weight_is_the_fall_of_the_score_when_the_item_is_removed(form: tuple[str, bool], history: np.ndarray) -> None:
    predictor = PREDICTORS[form]
    items = predictor.top_k([history], 4).indices[0].tolist()
    explanations = explain_items(predictor, history, items)
    recent = history[-predictor.max_len :]
    assert len(explanations) == len(items)
    for item, explanation in zip(items, explanations, strict=True):
        assert explanation.nearest in recent
        assert len(explanation.reasons) <= MAX_REASONS
        if len(set(recent.tolist())) == 1:
            assert [reason.item for reason in explanation.reasons] == [recent[-1]]
            continue
        drops = {
            removed: _score(predictor, recent, item) - _score(predictor, recent[recent != removed], item)
            for removed in set(recent.tolist())
        }
        positive = sum(max(drop, 0.0) for drop in drops.values())
        for reason in explanation.reasons:
            assert reason.drop == pytest.approx(drops[reason.item], abs=2e-4)
            assert reason.weight == pytest.approx(reason.drop / positive, abs=1e-2, rel=1e-2)
        if explanation.reasons:
            assert explanation.reasons[0].drop == pytest.approx(max(drops.values()), abs=2e-4)


def test_long_histories_are_explained_by_their_newest_items() -> None:
    catalogue = tiny_catalogue(3 * MAX_REMOVALS)
    config = dataclasses.replace(tiny_config("sasrec"), max_len=3 * MAX_REMOVALS, embedding=Part("full"))
    predictor = Predictor(tiny_model(config, catalogue), CPU)
    history = np.arange(1, 3 * MAX_REMOVALS + 1)
    (explanation,) = explain_items(predictor, history, [1])
    assert all(reason.item > 2 * MAX_REMOVALS for reason in explanation.reasons)


def test_counts_do_not_depend_on_the_history() -> None:
    assert not can_explain(Predictor(tiny_model(tiny_config("popular"), CATALOGUE), CPU))
    assert all(map(can_explain, PREDICTORS.values()))


def test_nothing_is_explained_for_an_empty_answer() -> None:
    assert explain_items(PREDICTORS["sasrec", False], np.array([1, 2]), []) == []


def _score(predictor: Predictor, history: np.ndarray, item: int) -> float:
    top = predictor.top_k([history], NUM_ITEMS)
    return float(top.scores[0][top.indices[0].tolist().index(item)])
