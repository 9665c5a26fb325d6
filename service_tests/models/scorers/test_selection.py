"""Scorer selection: benchmarked where several scorers fit, described, and without effect on answers."""

import numpy as np
import pytest
import torch

from models.config import Part
from models.native.library import load_library
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
    estimate_scorers,
    select_scorers,
)
from service_tests.contracts.test_scorers import make_model


@pytest.mark.parametrize(
    ("embedding", "head", "names"),
    [
        ("full", "tied", {"plain", "blocked", "int8"}),
        ("full", "dense", {"plain", "blocked", "int8"}),
        ("codes", "tied", {"plain", "int8", "codes", "native codes", "native blocks"}),
        ("full", "adaptive", {"plain", "tree"}),
    ],
)
def test_fastest_scorer_is_selected_for_each_batch_size(embedding: str, head: str, names: set[str]) -> None:
    model = make_model(Part(embedding), head, 3_000, 0, whole=False)
    selection = select_scorers(model, budget_s=0.05, benchmark_min_items=1)
    assert tuple(selection.timings_ms) == BATCHES
    for size, selected in zip(BATCHES, (selection.small, selection.large), strict=True):
        timings = selection.timings_ms[size]
        # These depend on the processor and on whether the native library is built.
        optional = {"int8", "native codes", "native blocks"} & names
        assert timings.keys() | optional == names
        assert timings[selected.name] == min(timings.values())
        assert selection.get_scorer(size) is selected


def test_single_candidate_is_not_benchmarked() -> None:
    selection = select_scorers(make_model(Part("full"), "popularity", 3_000, 0, whole=False), benchmark_min_items=1)
    assert isinstance(selection.small, PlainScorer)
    assert selection.timings_ms == {}


@pytest.mark.parametrize(
    ("embedding", "with_tables"), [("full", {"int8"}), ("codes", {"int8", "codes", "native blocks"})]
)
def test_scorers_above_max_extra_bytes_are_not_built(embedding: str, with_tables: set[str]) -> None:
    model = make_model(Part(embedding), "tied", 3_000, 0, whole=False)
    sizes = {kind.name: kind.estimate_extra_bytes(model) or 0 for kind in EXACT_SCORERS if kind.name in with_tables}
    smallest = min(size for size in sizes.values() if size)
    timings = select_scorers(model, budget_s=0.05, benchmark_min_items=1, max_extra_bytes=smallest - 1).timings_ms.get(
        1, {}
    )
    assert not with_tables & timings.keys()


@pytest.mark.parametrize("embedding", ["full", "codes"])
@pytest.mark.parametrize("kind", EXACT_SCORERS)
def test_extra_bytes_are_as_estimated(kind: type[Scorer], embedding: str) -> None:
    model = make_model(Part(embedding), "tied", 3_000, 0, whole=False)
    scorer = kind.for_model(model)
    if scorer is not None:
        assert scorer.nbytes == kind.estimate_extra_bytes(model)


def test_small_catalogue_is_not_benchmarked() -> None:
    native = CodesScorer if load_library() is None else NativeBlocksScorer
    for embedding, allow_masks, kind in (
        ("full", True, PlainScorer),
        ("codes", True, native),
        ("codes", False, CodesScorer),
    ):
        selection = select_scorers(make_model(Part(embedding), "tied", 50, 0, whole=False), native=allow_masks)
        assert isinstance(selection.small, kind)
        assert selection.small is selection.large
        assert selection.timings_ms == {}


@pytest.mark.parametrize(
    ("embedding", "head"), [("full", "tied"), ("codes", "tied"), ("full", "adaptive"), ("full", "popularity")]
)
def test_estimate_agrees_with_the_selection_for_a_small_catalogue(embedding: str, head: str) -> None:
    model = make_model(Part(embedding), head, 3_000, 0, whole=False)
    selection, estimate = select_scorers(model), estimate_scorers(model)
    assert estimate.extra_bytes == selection.nbytes
    assert estimate.scores_written == isinstance(selection.small, PlainScorer)


def test_extra_bytes_count_once_and_are_described() -> None:
    model = make_model(Part("codes"), "tied", 60, 0, whole=False)
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


def test_predictor_describes_its_scorers_and_returns_the_same_items() -> None:
    model = make_model(Part("full"), "tied", BENCHMARK_MIN_ITEMS, 0, whole=False)
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
