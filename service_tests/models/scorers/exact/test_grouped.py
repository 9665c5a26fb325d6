"""Grouped scorer, on a CPU too: the top k of the catalogue from the k best groups, ties in order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import Part
from models.scorers.base import TopK
from models.scorers.exact.grouped import GROUP, GroupedScorer
from models.scorers.exact.plain import PlainScorer
from models.scorers.exact.triton_scorer import TritonScorer
from models.scorers.filter import ItemFilter
from models.scorers.selection import select_scorers
from service_tests.contracts.test_scorers import assert_same, make_filter, make_model, make_queries, shares
from service_tests.models.scorers.exact.grouped_scorers import DEVICE, make_grouped_scorer

FORMS = [
    (Part("full"), "tied"),
    (Part("full"), "dense"),
    (Part("blocks"), "tied"),
    (Part("compositional"), "tied"),
    (Part("codes"), "tied"),
]
SEVERAL_CHUNKS = 4 * GROUP


def run_with_plain(
    form: tuple[Part, str], items: int, seed: int, k: int, item_filter: ItemFilter, *, whole: bool
) -> list[TopK]:
    model = make_model(*form, items, seed, whole=whole).to(DEVICE)
    hidden = make_queries(len(item_filter.excluded or ()), seed, whole=whole).to(DEVICE)
    with torch.inference_mode():
        return [
            scorer.find_top_k(hidden, min(k, items), item_filter)
            for scorer in (make_grouped_scorer(model, cells=SEVERAL_CHUNKS), PlainScorer.for_model(model))
        ]


sizes = st.integers(3, 300) | st.integers(1_000, 3_000)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form[0].name}-{form[1]}")
@settings(deadline=None, max_examples=12)
@given(items=sizes, rows=st.integers(1, 9), k=st.integers(1, 60), seed=st.integers(0, 99), **shares)
def test_grouped_returns_the_top_k_of_plain(
    form: tuple[Part, str],
    items: int,
    rows: int,
    k: int,
    seed: int,
    share_excluded: float,
    share_allowed: float | None,
) -> None:
    item_filter = make_filter(items, rows, seed, share_excluded, share_allowed)
    assert_same(*run_with_plain(form, items, seed, k, item_filter, whole=False))


@pytest.mark.parametrize("form", [form for form in FORMS if form[0].name != "compositional"], ids=str)
@settings(deadline=None, max_examples=12)
@given(items=sizes, rows=st.integers(1, 9), k=st.integers(1, 60), seed=st.integers(0, 99), **shares)
def test_ties_are_in_catalogue_order(
    form: tuple[Part, str],
    items: int,
    rows: int,
    k: int,
    seed: int,
    share_excluded: float,
    share_allowed: float | None,
) -> None:
    item_filter = make_filter(items, rows, seed, share_excluded, share_allowed)
    actual, expected = run_with_plain(form, items, seed, k, item_filter, whole=True)
    assert torch.equal(actual.values, expected.values)
    assert torch.equal(actual.indices, expected.indices)


def test_groups_with_equal_maxima_return_the_first_items() -> None:
    items = 10 * GROUP
    model = make_model(Part("full"), "tied", items, 0, whole=True).to(DEVICE)
    with torch.no_grad():
        model.embedding.get_parameter("vectors.weight").fill_(1.0)
    hidden = torch.ones(1, model.config.dim, device=DEVICE)
    with torch.inference_mode():
        actual = make_grouped_scorer(model, cells=SEVERAL_CHUNKS).find_top_k(
            hidden, 70, ItemFilter(items, [np.array([3, 66])])
        )
    assert actual.indices[0].tolist() == [item for item in range(1, 73) if item not in (3, 66)]


@pytest.mark.skipif(DEVICE.type == "cuda", reason="this machine has a GPU")
def test_cpu_does_not_benchmark_gpu_scorers() -> None:
    model = make_model(Part("full"), "tied", 3_000, 0, whole=False)
    assert GroupedScorer.for_model(model) is None
    assert TritonScorer.for_model(model) is None
    assert not {"grouped", "triton"} & select_scorers(model, budget_s=0.02, benchmark_min_items=1).timings_ms[1].keys()


@pytest.mark.optional
@pytest.mark.skipif(DEVICE.type != "cuda", reason="this machine has no GPU")
@pytest.mark.parametrize(("embedding", "native"), [("full", True), ("codes", True), ("full", False)])
def test_gpu_benchmarks_its_scorers(embedding: str, native: bool) -> None:
    model = make_model(Part(embedding), "tied", 30_000, 0, whole=False).to(DEVICE)
    timings = select_scorers(model, native=native).timings_ms[1].keys()
    assert "grouped" in timings
    assert ("triton" in timings) == native
