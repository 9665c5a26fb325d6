"""Which scorer answers: measured where there is a choice, told by name, the same answers from all of them."""

import numpy as np
import pytest
import torch

from models.config import Part
from models.native.library import library
from models.predictor import Predictor
from models.scorers.base import Scorer
from models.scorers.exact.codes import CodesScorer
from models.scorers.exact.native_blocks import NativeBlocksScorer
from models.scorers.exact.plain import PlainScorer
from models.scorers.selection import (
    BATCHES,
    BENCHMARK_MIN_ITEMS,
    EXACT_SCORERS,
    LARGE_FROM,
    ScorerSelection,
    select_scorers,
)
from service_tests.contracts.test_scorers import model_of


@pytest.mark.parametrize(
    ("embedding", "head", "names"),
    [
        ("full", "tied", {"plain", "blocked", "int8"}),
        ("full", "dense", {"plain", "blocked", "int8"}),
        ("codes", "tied", {"plain", "int8", "codes", "native codes", "native blocks"}),
        ("full", "adaptive", {"plain", "tree"}),
    ],
)
def test_the_fastest_of_those_that_fit_is_chosen_for_each_batch_size(
    embedding: str, head: str, names: set[str]
) -> None:
    model = model_of(Part(embedding), head, 3_000, 0, whole=False)
    scoring = select_scorers(model, budget_s=0.05, benchmark_min_items=1)
    assert tuple(scoring.timings_ms) == BATCHES
    for size, chosen in zip(BATCHES, (scoring.small, scoring.large), strict=True):
        timings = scoring.timings_ms[size]
        not_everywhere = {
            "int8",
            "native codes",
            "native blocks",
        } & names  # by processor, and by whether the library was built
        assert timings.keys() | not_everywhere == names
        assert timings[chosen.name] == min(timings.values())
        assert scoring.scorer(size) is chosen


def test_what_has_no_rival_is_not_measured() -> None:
    scoring = select_scorers(model_of(Part("full"), "popularity", 3_000, 0, whole=False), benchmark_min_items=1)
    assert isinstance(scoring.small, PlainScorer)
    assert scoring.timings_ms == {}


@pytest.mark.parametrize(("embedding", "keeping"), [("full", {"int8"}), ("codes", {"int8", "codes", "native blocks"})])
def test_who_would_keep_more_than_is_allowed_is_not_built(embedding: str, keeping: set[str]) -> None:
    model = model_of(Part(embedding), "tied", 3_000, 0, whole=False)
    least = min(kind.estimate_extra_bytes(model) for kind in EXACT_SCORERS if kind.name in keeping)
    named = select_scorers(model, budget_s=0.05, benchmark_min_items=1, max_extra_bytes=least - 1).timings_ms.get(1, {})
    assert not keeping & named.keys()


@pytest.mark.parametrize("embedding", ["full", "codes"])
@pytest.mark.parametrize("kind", EXACT_SCORERS)
def test_what_a_scorer_keeps_is_what_it_said_it_would(kind: type[Scorer], embedding: str) -> None:
    model = model_of(Part(embedding), "tied", 3_000, 0, whole=False)
    made = kind.for_model(model)
    if made is not None:
        assert made.nbytes == kind.estimate_extra_bytes(model)


def test_small_catalogues_are_not_measured() -> None:
    native = CodesScorer if library() is None else NativeBlocksScorer
    for embedding, allow_masks, kind in (
        ("full", True, PlainScorer),
        ("codes", True, native),
        ("codes", False, CodesScorer),
    ):
        scoring = select_scorers(model_of(Part(embedding), "tied", 50, 0, whole=False), native=allow_masks)
        assert isinstance(scoring.small, kind)
        assert scoring.small is scoring.large
        assert scoring.timings_ms == {}


def test_what_is_kept_is_counted_once_and_told() -> None:
    model = model_of(Part("codes"), "tied", 60, 0, whole=False)
    codes = CodesScorer.for_model(model)
    assert codes is not None
    assert codes.nbytes == 61 * 8  # a byte for each of eight codes
    assert ScorerSelection(codes, codes, {}).nbytes == 61 * 8
    assert ScorerSelection(PlainScorer(model), codes, {}).describe() == {
        "small": {"name": "plain", "exact": True, "bytes": 0},
        "large": {"name": "codes", "exact": True, "bytes": 61 * 8},
        "large_from": LARGE_FROM,
        "timings_ms": {},
    }


def test_a_predictor_tells_what_it_chose_and_answers_as_before() -> None:
    model = model_of(Part("full"), "tied", BENCHMARK_MIN_ITEMS, 0, whole=False)
    predictor = Predictor(model, torch.device("cpu"))
    rng = np.random.default_rng(0)
    histories = [rng.integers(1, BENCHMARK_MIN_ITEMS + 1, 5) for _ in range(LARGE_FROM)]
    before = predictor.top_k(histories, 10, excluded=histories)
    plain = predictor.estimate_workspace_bytes()
    assert predictor.scoring["timings_ms"] == {}
    predictor.choose_scorers()
    assert predictor.scoring["timings_ms"]
    after = predictor.top_k(histories, 10, excluded=histories)
    assert np.array_equal(before.indices, after.indices)
    np.testing.assert_allclose(before.scores, after.scores, rtol=1e-5)
    assert predictor.estimate_workspace_bytes() != plain or predictor.scoring["large"] == Scorer.describe(
        PlainScorer(model)
    )
