"""The tree's fast best as a scorer: what the contract tests cannot reach with random weights."""

import numpy as np
import pytest
import torch

from models.config import Part
from models.scorers.exact.plain import PlainScorer
from models.scorers.exact.tree import TreeScorer
from models.scorers.filter import ItemFilter
from service_tests.contracts.test_scorers import model_of, queries


@pytest.mark.parametrize("k", [1, 5, 20])
def test_of_equal_items_the_first_in_the_catalogue_are_answered(k: int) -> None:
    model = model_of(Part("full"), "adaptive", 500, 0, whole=False)
    hidden = queries(4, 0, whole=False)
    with torch.inference_mode():
        for name, weights in model.head.state_dict().items():
            if name.startswith("tree.tails") or name == "tree.first.weight":
                weights.copy_(weights[:1].expand_as(weights))  # all items of a block are equal, and so are the tokens
        scorer, plain = TreeScorer.for_model(model), PlainScorer(model)
        assert scorer is not None
        item_filter = ItemFilter(500, [np.array([2, 3, 60, 300])] * 4)
        found, expected = scorer.find_top_k(hidden, k, item_filter), plain.find_top_k(hidden, k, item_filter)
    assert torch.equal(found.indices, expected.indices)
    torch.testing.assert_close(found.values, expected.values)
