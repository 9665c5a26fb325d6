"""IVF-PQ index and scorer: ANN contract, layout of lists, exact scan of the file, choice of the index kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models.config import Part
from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.native.library import load_library
from models.recommender import SequentialRecommender
from models.scorers.ann.indexes import build_index, load_index
from models.scorers.ann.ivf import IvfIndex, has_faiss
from models.scorers.ann.ivf_pq import IvfPqIndex, build_ivf_pq, make_exact_scorer
from models.scorers.exact.plain import PlainScorer
from service_tests.contracts.test_scorers import DIM, make_filter, make_model
from service_tests.models.scorers.ann.contract import AnnCase, AnnScorerContract
from service_tests.models.scorers.ann.test_ivf import MODEL as FULL_TABLE_MODEL
from service_tests.models.scorers.ann.test_ivf import QUERIES as FULL_TABLE_QUERIES

pytestmark = [
    pytest.mark.skipif(not has_faiss(), reason="faiss is not installed: pip install 'nextup[ann]'"),
    pytest.mark.skipif(load_library() is None, reason="the native library is not built"),
]
NUM_ITEMS = 5_000
CLUSTERS = 50


def make_clustered_model() -> tuple[SequentialRecommender, torch.Tensor]:
    """Give items three of four codes of one of fifty clusters; queries are near items."""
    model = make_model(Part("codes"), "tied", NUM_ITEMS, 0, whole=False)
    embedding = model.embedding
    assert isinstance(embedding, CodesEmbedding)
    generator = torch.Generator().manual_seed(0)
    cluster_codes = torch.randint(64, (CLUSTERS, embedding.num_subspaces), generator=generator)
    codes = cluster_codes[torch.randint(CLUSTERS, (NUM_ITEMS + 1,), generator=generator)]
    is_random = torch.rand(codes.shape, generator=generator) > 0.75
    codes[is_random] = torch.randint(64, (int(is_random.sum()),), generator=generator)
    embedding.kept.copy_(packing.pack(codes))
    with torch.inference_mode():
        near = embedding.table(torch.randint(1, NUM_ITEMS + 1, (200,), generator=generator))
    return model, near + 0.1 * torch.randn(near.shape, generator=generator)


MODEL, QUERIES = make_clustered_model()
PLAIN = PlainScorer(MODEL)


@pytest.fixture(autouse=True, scope="module")
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def index() -> IvfPqIndex:
    index = build_ivf_pq(MODEL, QUERIES, PLAIN)
    assert index is not None
    return index


@pytest.fixture(scope="module")
def case(index: IvfPqIndex) -> AnnCase:
    return AnnCase(MODEL, QUERIES, index)


class TestIvfPqScorer(AnnScorerContract):
    pass


def test_every_item_is_in_one_slot_of_one_list_with_its_codes(index: IvfPqIndex) -> None:
    embedding = MODEL.embedding
    assert isinstance(embedding, CodesEmbedding)
    items = index.items.long()
    assert sorted(items[items > 0].tolist()) == list(range(1, NUM_ITEMS + 1))
    codes = packing.unpack(index.blocks).transpose(1, 2).flatten(0, 1)
    assert torch.equal(codes[items > 0], embedding.codes()[items[items > 0]])
    assert (index.starts.diff() > 0).all(), "no list is empty"


def test_exact_scan_of_the_index_file_takes_no_extra_memory(index: IvfPqIndex) -> None:
    exact = make_exact_scorer(MODEL, index)
    assert exact is not None
    assert exact.nbytes == 0
    item_filter = make_filter(NUM_ITEMS, 40, 2, 0.05, 0.5)
    top, expected = (scorer.find_top_k(QUERIES[:40], 20, item_filter) for scorer in (exact, PLAIN))
    assert torch.equal(top.indices, expected.indices)
    torch.testing.assert_close(top.values, expected.values, rtol=1e-5, atol=1e-4)


def test_codes_without_clusters_get_no_index() -> None:
    model = make_model(Part("codes"), "tied", NUM_ITEMS, 0, whole=False)
    queries = torch.randn(50, DIM, generator=torch.Generator().manual_seed(5))
    assert build_ivf_pq(model, queries, PlainScorer(model)) is None


def test_six_bit_codes_get_ivf_pq_and_other_tables_ivf() -> None:
    assert isinstance(build_index(MODEL, QUERIES, PLAIN), IvfPqIndex)
    assert isinstance(build_index(FULL_TABLE_MODEL, FULL_TABLE_QUERIES, PlainScorer(FULL_TABLE_MODEL)), IvfIndex)


def test_index_is_ignored_with_a_warning_if_native_code_is_off(
    index: IvfPqIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index.save(tmp_path / "index")
    assert load_index(tmp_path / "index", index.to_dict(), native=False) is None
    assert "answers stay exact" in caplog.messages[-1]
