"""Scoring by codes, with a copy of them and without."""

import torch

from models.config import Part
from models.embeddings.codes import CodesEmbedding
from models.scorers.exact.codes import CHUNK, CodesScorer
from models.scorers.filter import ItemFilter
from service_tests.contracts.test_scorers import model_of, queries


def test_a_copy_of_the_codes_costs_a_byte_each_and_changes_no_answer() -> None:
    num_items = CHUNK + 100
    embedding = model_of(Part("codes"), "tied", num_items, 0, whole=False).embedding
    assert isinstance(embedding, CodesEmbedding)
    with_copy, without = CodesScorer(embedding), CodesScorer(embedding, copy=False)
    assert (with_copy.nbytes, without.nbytes) == ((num_items + 1) * embedding.num_subspaces, 0)
    asked = (queries(3, 0, whole=False), 20, ItemFilter(num_items))
    with torch.inference_mode():
        for one, other in zip(with_copy.find_top_k(*asked), without.find_top_k(*asked), strict=True):
            assert torch.equal(one, other)
