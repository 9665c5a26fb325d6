"""IVF index and scorer: the ANN contract, long histories, masks, ties, and selection against an exact scan."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from models.config import Part
from models.recommender import SequentialRecommender
from models.scorers.ann.ivf import IvfIndex, IvfScorer, build_ivf, has_faiss
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from models.scorers.selection import BATCHES, select_plain_scorer
from models.scorers.vectors import ItemVectors
from service_tests.contracts.test_scorers import DIM, make_model
from service_tests.models.scorers.ann.contract import AnnCase, AnnScorerContract, ForbiddenScorer, compute_recall

pytestmark = pytest.mark.skipif(not has_faiss(), reason="faiss is not installed: pip install 'nextup[ann]'")
NUM_ITEMS = 5_000


def make_clustered_model() -> tuple[SequentialRecommender, torch.Tensor]:
    """Place items around fifty centroids, and queries near items."""
    model = make_model(Part("full"), "tied", NUM_ITEMS, 0, whole=False)
    generator = torch.Generator().manual_seed(0)
    centroids = torch.nn.functional.normalize(torch.randn(50, DIM, generator=generator))
    with torch.inference_mode():
        table = model.embedding.table()
        table.mul_(0.1).add_(centroids[torch.randint(0, 50, (NUM_ITEMS + 1,), generator=generator)])
        queries = table[torch.randint(1, NUM_ITEMS + 1, (200,), generator=generator)]
    return model, queries


MODEL, QUERIES = make_clustered_model()
PLAIN = PlainScorer(MODEL)


@pytest.fixture(autouse=True, scope="module")
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def index() -> IvfIndex:
    index = build_ivf(MODEL, QUERIES, PLAIN)
    assert index is not None
    return index


@pytest.fixture(scope="module")
def case(index: IvfIndex) -> AnnCase:
    return AnnCase(MODEL, QUERIES, index)


class TestIvfScorer(AnnScorerContract):
    rtol, atol = 1.3e-6, 1e-5


def test_long_histories_are_answered_from_the_lists(index: IvfIndex) -> None:
    every_list = dataclasses.replace(index, nprobe=index.lists)
    scorer = IvfScorer(ItemVectors(MODEL), every_list, ForbiddenScorer())
    nearest = PLAIN.find_top_k(QUERIES[:20], 300, ItemFilter(NUM_ITEMS)).indices.numpy()
    item_filter = ItemFilter(NUM_ITEMS, [row[:length] for row, length in zip(nearest, range(0, 300, 15), strict=True)])
    retrieved, expected = (each.find_top_k(QUERIES[:20], 10, item_filter).indices for each in (scorer, PLAIN))
    assert compute_recall(expected, retrieved) >= 0.99


def test_allow_mask_sends_only_its_own_history_to_the_exact_scorer(case: AnnCase, index: IvfIndex) -> None:
    mask = np.zeros(NUM_ITEMS + 1, dtype=bool)
    mask[40:60] = True
    item_filter = ItemFilter(NUM_ITEMS, None, [mask if row == 3 else None for row in range(8)])
    top = case.open_scorer().find_top_k(QUERIES[:8], 10, item_filter)
    assert set(top.indices[3].tolist()) <= set(range(40, 60))
    unmasked = [row for row in range(8) if row != 3]
    scorer = IvfScorer(ItemVectors(MODEL), index, ForbiddenScorer())
    alone = scorer.find_top_k(QUERIES[unmasked], 10, ItemFilter(NUM_ITEMS))
    assert torch.equal(top.indices[unmasked], alone.indices)


def test_batches_that_are_faster_exact_stay_exact(index: IvfIndex) -> None:
    selection = select_plain_scorer(MODEL).with_index(MODEL, index, benchmark_min_items=1)
    for size, scorer in zip(BATCHES, (selection.small, selection.large), strict=True):
        timings = selection.timings_ms[size]
        assert timings.keys() == {"plain", "ivf"}
        assert scorer.name == min(timings, key=timings.__getitem__)
    slow = dataclasses.replace(index, index=SlowFaissIndex(index.index))
    assert select_plain_scorer(MODEL).with_index(MODEL, slow, benchmark_min_items=1).recall == 1.0
    unmeasured = select_plain_scorer(MODEL).with_index(MODEL, slow)
    assert unmeasured.recall == index.recall, "small catalogues are not benchmarked"


class SlowFaissIndex:
    """Delays searches, as lists on a slow disk would."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self.code_size = index.code_size

    def search(self, *arguments: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return self._index.search(*arguments, **options)


def test_vectors_without_clusters_get_no_index() -> None:
    model = make_model(Part("full"), "tied", NUM_ITEMS, 0, whole=False)
    queries = torch.randn(50, DIM, generator=torch.Generator().manual_seed(5))
    assert build_ivf(model, queries, PlainScorer(model)) is None


def test_ties_are_in_catalogue_order() -> None:
    model, queries = make_clustered_model()
    table = model.embedding.table()
    table.mul_(4).round_()
    queries = queries.mul(4).round()
    index = build_ivf(model, queries, PlainScorer(model), min_recall=0.0)
    assert index is not None
    top = AnnCase(model, queries, index).open_scorer().find_top_k(queries, 10, ItemFilter(NUM_ITEMS))
    is_tie = top.values.diff(dim=1) == 0
    assert is_tie.any()
    assert (top.indices.diff(dim=1)[is_tie] > 0).all()
