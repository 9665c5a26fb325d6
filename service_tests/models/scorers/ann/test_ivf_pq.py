"""The approximate scorer of codes: a recall that is measured, true scores, filters that hold, one copy in a file."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import Part
from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.native.library import library
from models.recommender import SequentialRecommender
from models.scorers.ann.indexes import build_index, load_index
from models.scorers.ann.ivf import IvfIndex, has_faiss
from models.scorers.ann.ivf_pq import IvfPqIndex, IvfPqScorer, build_ivf_pq, exact_of
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from service_tests.contracts.test_scorers import DIM, filters, model_of
from service_tests.models.scorers.ann.test_ivf import MODEL as FULL_TABLE
from service_tests.models.scorers.ann.test_ivf import QUERIES as NEAR_ITEMS

pytestmark = [
    pytest.mark.skipif(not has_faiss(), reason="faiss is not installed: pip install 'nextup[ann]'"),
    pytest.mark.skipif(library() is None, reason="the native library was not built"),
]
NUM_ITEMS = 5_000
CENTRES = 50


def clustered() -> tuple[SequentialRecommender, torch.Tensor]:
    """Items share three of four codes with one of fifty centres; queries are near items."""
    model = model_of(Part("codes"), "tied", NUM_ITEMS, 0, whole=False)
    embedding = model.embedding
    assert isinstance(embedding, CodesEmbedding)
    generator = torch.Generator().manual_seed(0)
    centres = torch.randint(64, (CENTRES, embedding.num_subspaces), generator=generator)
    codes = centres[torch.randint(CENTRES, (NUM_ITEMS + 1,), generator=generator)]
    own = torch.rand(codes.shape, generator=generator) > 0.75
    codes[own] = torch.randint(64, (int(own.sum()),), generator=generator)
    embedding.kept.copy_(packing.pack(codes))
    with torch.inference_mode():
        near = embedding.table(torch.randint(1, NUM_ITEMS + 1, (200,), generator=generator))
    return model, near + 0.1 * torch.randn(near.shape, generator=generator)


MODEL, QUERIES = clustered()
PLAIN = PlainScorer(MODEL)


@pytest.fixture(autouse=True, scope="module")
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def index() -> IvfPqIndex:
    built = build_ivf_pq(MODEL, QUERIES, PLAIN)
    assert built is not None
    return built


def scorer_of(index: IvfPqIndex) -> IvfPqScorer:
    found = IvfPqScorer.of(MODEL, index, PLAIN)
    assert found is not None
    return found


def test_every_item_stands_in_one_place_of_one_list_with_its_codes(index: IvfPqIndex) -> None:
    embedding = MODEL.embedding
    assert isinstance(embedding, CodesEmbedding)
    items = index.items.long()
    assert sorted(items[items > 0].tolist()) == list(range(1, NUM_ITEMS + 1))
    codes = packing.unpack(index.blocks).transpose(1, 2).flatten(0, 1)
    assert torch.equal(codes[items > 0], embedding.codes()[items[items > 0]])
    assert (index.starts.diff() > 0).all(), "no list is empty"


def test_its_recall_is_the_one_it_tells_and_reaches_what_was_asked(index: IvfPqIndex) -> None:
    found = scorer_of(index).find_top_k(QUERIES, 10, ItemFilter(NUM_ITEMS)).indices
    exact = PLAIN.find_top_k(QUERIES, 10, ItemFilter(NUM_ITEMS)).indices
    recall = float((exact[:, :, None] == found[:, None, :]).any(-1).float().mean())
    assert recall == pytest.approx(index.recall, abs=1e-5)
    assert recall >= 0.99
    assert index.nprobe <= len(index.radii) // 4
    told = scorer_of(index).describe()
    assert (told["exact"], told["recall@10"], told["probes"]) == (False, index.recall, index.nprobe)


@pytest.mark.parametrize(("share_denied", "share_allowed"), [(0.0, None), (0.02, None), (0.9, None), (0.0, 0.01)])
def test_k_eligible_items_come_back_with_their_true_scores(
    index: IvfPqIndex, share_denied: float, share_allowed: float | None
) -> None:
    item_filter = filters(NUM_ITEMS, 40, 1, share_denied, share_allowed)
    found = scorer_of(index).find_top_k(QUERIES[:40], 10, item_filter)
    scores = MODEL.scores(QUERIES[:40])
    torch.testing.assert_close(found.values, scores.gather(1, found.indices), rtol=1e-5, atol=1e-4)
    item_filter.mask(scores)
    assert torch.isfinite(scores.gather(1, found.indices)).all()
    assert (found.values.diff(dim=1) <= 0).all()
    assert all(len(set(row)) == 10 for row in found.indices.tolist())


def test_a_mask_and_more_than_the_lists_hold_are_answered_exactly(index: IvfPqIndex) -> None:
    one_list = scorer_of(dataclasses.replace(index, nprobe=1))
    mask = np.zeros(NUM_ITEMS + 1, dtype=bool)
    mask[40:60] = True
    item_filter = ItemFilter(NUM_ITEMS, None, [mask if row == 3 else None for row in range(8)])
    expected = PLAIN.find_top_k(QUERIES[:8], 10, item_filter)
    assert torch.equal(one_list.find_top_k(QUERIES[:8], 10, item_filter).indices[3], expected.indices[3])
    every = ItemFilter(NUM_ITEMS)
    many = one_list.find_top_k(QUERIES[:8], 1_000, every)
    assert torch.equal(many.indices, PLAIN.find_top_k(QUERIES[:8], 1_000, every).indices)


def test_the_file_answers_exactly_too_and_keeps_nothing(index: IvfPqIndex) -> None:
    exact = exact_of(MODEL, index)
    assert exact is not None
    assert exact.nbytes == 0
    item_filter = filters(NUM_ITEMS, 40, 2, 0.05, 0.5)
    found, expected = (scorer.find_top_k(QUERIES[:40], 20, item_filter) for scorer in (exact, PLAIN))
    assert torch.equal(found.indices, expected.indices)
    torch.testing.assert_close(found.values, expected.values, rtol=1e-5, atol=1e-4)


def test_an_index_answers_the_same_from_a_file(index: IvfPqIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    again = load_index(tmp_path / "index", index.to_dict())
    assert isinstance(again, IvfPqIndex)
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(tmp_path / "index") in maps.read_text(), "its lists stay in the file"
    asked = (QUERIES, 10, ItemFilter(NUM_ITEMS, [np.array([3, 5])] * len(QUERIES)))
    for one, other in zip(scorer_of(index).find_top_k(*asked), scorer_of(again).find_top_k(*asked), strict=True):
        assert torch.equal(one, other)


def test_codes_without_neighbourhoods_get_no_index() -> None:
    model = model_of(Part("codes"), "tied", NUM_ITEMS, 0, whole=False)
    far = torch.randn(50, DIM, generator=torch.Generator().manual_seed(5))
    assert build_ivf_pq(model, far, PlainScorer(model)) is None


def test_six_bit_codes_get_lists_and_everything_else_inverted_lists() -> None:
    assert isinstance(build_index(MODEL, QUERIES, PLAIN), IvfPqIndex)
    assert isinstance(build_index(FULL_TABLE, NEAR_ITEMS, PlainScorer(FULL_TABLE)), IvfIndex)


def test_without_native_code_there_is_no_index_and_a_warning(
    index: IvfPqIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index.save(tmp_path / "index")
    assert load_index(tmp_path / "index", index.to_dict(), native=False) is None
    assert "answers stay exact" in caplog.messages[-1]
