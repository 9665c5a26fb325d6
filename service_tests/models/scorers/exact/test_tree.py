"""Tree scorer: ties, which the contract tests do not reach with random weights."""

import numpy as np
import pytest
import torch

from models.config import Part
from models.scorers.exact.plain import PlainScorer
from models.scorers.exact.tree import TreeScorer
from models.scorers.filter import ItemFilter
from service_tests.contracts.test_scorers import make_model, make_queries


@pytest.mark.parametrize("k", [1, 5, 20])
def test_ties_are_in_catalogue_order(k: int) -> None:
    model = make_model(Part("full"), "adaptive", 500, 0, whole=False)
    hidden = make_queries(4, 0, whole=False)
    with torch.inference_mode():
        for name, weights in model.head.state_dict().items():
            if name.startswith("tree.tails") or name == "tree.first.weight":
                weights.copy_(weights[:1].expand_as(weights))  # makes all items of a block equal, and all block tokens
        scorer, plain = TreeScorer.for_model(model), PlainScorer(model)
        assert scorer is not None
        item_filter = ItemFilter(500, [np.array([2, 3, 60, 300])] * 4)
        actual, expected = scorer.find_top_k(hidden, k, item_filter), plain.find_top_k(hidden, k, item_filter)
    assert torch.equal(actual.indices, expected.indices)
    torch.testing.assert_close(actual.values, expected.values)
