"""Scorer of codes, with and without its unpacked copy."""

import torch

from models.config import Part
from models.embeddings.codes import CodesEmbedding
from models.scorers.exact.codes import UNPACK_ITEMS, CodesScorer
from models.scorers.filter import ItemFilter
from service_tests.contracts.test_scorers import make_model, make_queries


def test_unpacked_copy_takes_a_byte_per_code_and_changes_no_answer() -> None:
    num_items = UNPACK_ITEMS + 100
    embedding = make_model(Part("codes"), "tied", num_items, 0, whole=False).embedding
    assert isinstance(embedding, CodesEmbedding)
    with_copy, without = CodesScorer(embedding), CodesScorer(embedding, copy=False)
    assert (with_copy.nbytes, without.nbytes) == ((num_items + 1) * embedding.num_subspaces, 0)
    query = (make_queries(3, 0, whole=False), 20, ItemFilter(num_items))
    with torch.inference_mode():
        for copied, unpacked in zip(with_copy.find_top_k(*query), without.find_top_k(*query), strict=True):
            assert torch.equal(copied, unpacked)
