"""The model's answer under rules, compared with its whole plain ranking, for models of several kinds."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from app.inference import Query
from app.inference.filters import parse_filter
from app.inference.rules import Boost, ItemRules, Promotion
from app.inference.servable import Servable
from models.artifact import load_artifact
from models.catalogue.item_key import item_keys
from service_tests.support.answered_queries import answer
from service_tests.support.artifacts import write_neighbours_artifact, write_tiny_artifact

NUM_ITEMS = 60
EVEN, LOW = (parse_filter(b'{"attribute":"categories","contains_any":["%b"]}' % name) for name in (b"even", b"low"))
ADD = {"even": 0.5, "low": -1.5}
RULES = ItemRules(boosts=(Boost(EVEN, ADD["even"]), Boost(LOW, ADD["low"])))
WRITERS: dict[str, Callable[[Path], Path]] = {
    "sasrec": write_tiny_artifact,
    "transitions": write_neighbours_artifact,
    "popular": lambda folder: write_tiny_artifact(folder, preset="popular"),
}


@pytest.fixture(scope="module", params=WRITERS)
def servable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Servable:
    folder = WRITERS[request.param](tmp_path_factory.mktemp(request.param))
    return Servable(load_artifact(folder, device="cpu"))


def make_query(number: int, k: int, rules: ItemRules | None = None) -> Query:
    return Query(item_keys([f"i{number}", f"i{number + 3}"]), k, rules=rules, exclude=item_keys(["i40"]))


def test_boosts_change_the_odds_of_the_whole_ranking(servable: Servable) -> None:
    is_popular = servable.model_info.preset == "popular"
    for number in range(1, 50, 7):
        (plain,) = answer(servable, make_query(number, NUM_ITEMS))
        scores = {}
        for index, score in zip(plain.indices, plain.scores, strict=True):
            bonus = sum(ADD.get(name, 0.0) for name in servable.catalogue.get_categories(index))
            scores[index] = score * math.exp(bonus) if is_popular else score + bonus
        expected = sorted(scores, key=lambda index: (-scores[index], index))
        for k in (1, 4, 30, NUM_ITEMS):
            (boosted,) = answer(servable, make_query(number, k, RULES))
            assert boosted.indices == expected[:k]
            assert boosted.scores == pytest.approx([scores[index] for index in expected[:k]], rel=1e-5, abs=1e-5)


def test_penalty_changes_the_odds_of_shown_items_in_the_whole_ranking(servable: Servable) -> None:
    is_popular, penalty = servable.model_info.preset == "popular", 0.75
    (plain,) = answer(servable, make_query(20, NUM_ITEMS))
    shown = {servable.catalogue.item_id(index): index for index in plain.indices[:8:2]}
    rules = ItemRules(shown=item_keys(["not in the catalogue", *shown]).tobytes(), penalty=penalty)
    scores = {}
    for index, score in zip(plain.indices, plain.scores, strict=True):
        bonus = -penalty * (index in shown.values())
        scores[index] = score * math.exp(bonus) if is_popular else score + bonus
    expected = sorted(scores, key=lambda index: (-scores[index], index))
    assert expected != plain.indices
    for k in (1, 4, 30, NUM_ITEMS):
        (lowered,) = answer(servable, make_query(20, k, rules))
        assert lowered.indices == expected[:k]
        assert lowered.scores == pytest.approx([scores[index] for index in expected[:k]], rel=1e-5, abs=1e-5)


def test_queries_of_a_batch_have_the_answers_that_they_have_alone(servable: Servable) -> None:
    promoted = ItemRules(promotions=(Promotion(LOW, (2, 3)),), limits=(("categories", 4),), diversity=0.3)
    queries = [make_query(number, 9, rules) for number, rules in enumerate([RULES, None, promoted, RULES, promoted], 5)]
    queries.append(Query(item_keys(["unknown"]), 5, rules=RULES))
    together = answer(servable, *queries)
    alone = [answer(servable, query)[0] for query in queries]
    assert [top.indices for top in together] == [top.indices for top in alone]
    assert [top.source for top in together] == ["model"] * 5 + ["popularity"]
