"""The approximate scorer: a recall that is measured, scores that are true, filters that hold."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch

from models.config import Part
from models.recommender import SequentialRecommender
from models.scorers.ann.ivf import IvfIndex, IvfScorer, build_ivf, has_faiss
from models.scorers.base import Scorer, TopK
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from models.scorers.selection import BATCHES, select_plain_scorer
from models.scorers.vectors import ItemVectors
from service_tests.contracts.test_scorers import DIM, filters, model_of

pytestmark = pytest.mark.skipif(not has_faiss(), reason="faiss is not installed: pip install 'nextup[ann]'")
NUM_ITEMS = 5_000


def clustered() -> tuple[SequentialRecommender, torch.Tensor]:
    """Items around fifty centres, and queries near items."""
    model = model_of(Part("full"), "tied", NUM_ITEMS, 0, whole=False)
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(50, DIM, generator=generator))
    with torch.inference_mode():
        table = model.embedding.table()
        table.mul_(0.1).add_(centres[torch.randint(0, 50, (NUM_ITEMS + 1,), generator=generator)])
        near = table[torch.randint(1, NUM_ITEMS + 1, (200,), generator=generator)]
    return model, near


MODEL, QUERIES = clustered()
PLAIN = PlainScorer(MODEL)


@pytest.fixture(autouse=True, scope="module")
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def index() -> IvfIndex:
    built = build_ivf(MODEL, QUERIES, PLAIN)
    assert built is not None
    return built


def scorer_of(index: IvfIndex) -> IvfScorer:
    found = IvfScorer.of(MODEL, index)
    assert found is not None
    return found


def test_its_recall_is_the_one_it_tells_and_reaches_what_was_asked(index: IvfIndex) -> None:
    found = scorer_of(index).find_top_k(QUERIES, 10, ItemFilter(NUM_ITEMS)).indices
    exact = PLAIN.find_top_k(QUERIES, 10, ItemFilter(NUM_ITEMS)).indices
    recall = float((exact[:, :, None] == found[:, None, :]).any(-1).float().mean())
    assert recall == pytest.approx(index.recall, abs=1e-5)
    assert recall >= 0.99
    assert index.nprobe <= index.lists // 4
    told = scorer_of(index).describe()
    assert (told["exact"], told["recall@10"], told["probes"]) == (False, index.recall, index.nprobe)


@pytest.mark.parametrize(("share_denied", "share_allowed"), [(0.0, None), (0.02, None), (0.5, None), (0.0, 0.01)])
def test_k_eligible_items_come_back_with_their_true_scores(
    index: IvfIndex, share_denied: float, share_allowed: float | None
) -> None:
    item_filter = filters(NUM_ITEMS, 40, 1, share_denied, share_allowed)
    found = scorer_of(index).find_top_k(QUERIES[:40], 10, item_filter)
    scores = MODEL.scores(QUERIES[:40])
    torch.testing.assert_close(found.values, scores.gather(1, found.indices))
    item_filter.mask(scores)
    assert torch.isfinite(scores.gather(1, found.indices)).all()
    assert (found.values.diff(dim=1) <= 0).all()
    assert all(len(set(row)) == 10 for row in found.indices.tolist())


class Refuses(Scorer):
    """Nobody may ask it."""

    name = "refuses"

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        raise AssertionError

    def find_top_k(self, hidden: torch.Tensor, k: int, item_filter: ItemFilter) -> TopK:
        raise AssertionError(f"{len(hidden)} histories went to the exact scorer")


def test_a_long_history_is_still_answered_from_the_lists_and_exactly_as_far_as_they_go(index: IvfIndex) -> None:
    whole = dataclasses.replace(index, nprobe=index.lists)
    scorer = IvfScorer(ItemVectors(MODEL), whole, Refuses())
    nearest = PLAIN.find_top_k(QUERIES[:20], 300, ItemFilter(NUM_ITEMS)).indices.numpy()
    item_filter = ItemFilter(NUM_ITEMS, [row[:length] for row, length in zip(nearest, range(0, 300, 15), strict=True)])
    found, exact = (one.find_top_k(QUERIES[:20], 10, item_filter).indices for one in (scorer, PLAIN))
    assert float((exact[:, :, None] == found[:, None, :]).any(-1).float().mean()) >= 0.99


def test_a_mask_sends_only_its_own_history_to_the_exact_scorer(index: IvfIndex) -> None:
    mask = np.zeros(NUM_ITEMS + 1, dtype=bool)
    mask[40:60] = True
    item_filter = ItemFilter(NUM_ITEMS, None, [mask if row == 3 else None for row in range(8)])
    found = scorer_of(index).find_top_k(QUERIES[:8], 10, item_filter)
    assert set(found.indices[3].tolist()) <= set(range(40, 60))
    others = [row for row in range(8) if row != 3]
    alone = IvfScorer(ItemVectors(MODEL), index, Refuses()).find_top_k(QUERIES[others], 10, ItemFilter(NUM_ITEMS))
    assert torch.equal(found.indices[others], alone.indices)


def test_batches_for_which_a_scan_is_faster_stay_exact(index: IvfIndex) -> None:
    found = select_plain_scorer(MODEL).with_index(MODEL, index, benchmark_min_items=1)
    for size, scorer in zip(BATCHES, (found.small, found.large), strict=True):
        timings = found.timings_ms[size]
        assert timings.keys() == {"plain", "ivf"}
        assert scorer.name == min(timings, key=timings.__getitem__)
    slow = dataclasses.replace(index, index=Slow(index.index))
    assert select_plain_scorer(MODEL).with_index(MODEL, slow, benchmark_min_items=1).recall == 1.0
    assert select_plain_scorer(MODEL).with_index(MODEL, slow).recall == index.recall, "small ones are not measured"


class Slow:
    """Lists on a slow disk."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self.code_size = index.code_size

    def search(self, *asked: Any, **how: Any) -> Any:
        time.sleep(0.05)
        return self._index.search(*asked, **how)


def test_vectors_without_neighbourhoods_get_no_index() -> None:
    model = model_of(Part("full"), "tied", NUM_ITEMS, 0, whole=False)
    far = torch.randn(50, DIM, generator=torch.Generator().manual_seed(5))
    assert build_ivf(model, far, PlainScorer(model)) is None


def test_more_than_the_lists_hold_comes_from_an_exact_scorer(index: IvfIndex) -> None:
    one_list = dataclasses.replace(index, nprobe=1)
    found = scorer_of(one_list).find_top_k(QUERIES[:20], 300, ItemFilter(NUM_ITEMS))
    assert torch.equal(found.indices, PLAIN.find_top_k(QUERIES[:20], 300, ItemFilter(NUM_ITEMS)).indices)


def test_equal_scores_come_in_catalogue_order() -> None:
    model, near = clustered()
    table = model.embedding.table()
    table.mul_(4).round_()
    built = build_ivf(model, near.mul(4).round(), PlainScorer(model), at_least=0.0)
    scorer = None if built is None else IvfScorer.of(model, built)
    assert scorer is not None
    found = scorer.find_top_k(near.mul(4).round(), 10, ItemFilter(NUM_ITEMS))
    equal = found.values.diff(dim=1) == 0
    assert equal.any()
    assert (found.indices.diff(dim=1)[equal] > 0).all()


def test_an_index_answers_the_same_from_a_file(index: IvfIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    again = IvfIndex.load(tmp_path / "index", index.to_dict())
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(tmp_path / "index") in maps.read_text(), "its lists stay in the file"
    asked = (QUERIES, 10, ItemFilter(NUM_ITEMS, [np.array([3, 5])] * len(QUERIES)))
    for one, other in zip(scorer_of(index).find_top_k(*asked), scorer_of(again).find_top_k(*asked), strict=True):
        assert torch.equal(one, other)
