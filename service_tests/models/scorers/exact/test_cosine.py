"""Top k by cosine: equal to that of the full table for every embedding, in chunks, in bounded memory."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.config import Part
from models.scorers.exact.blocked import MAX_CHUNK, MIN_CHUNK
from models.scorers.exact.cosine import CosineScan
from models.scorers.filter import ItemFilter
from service_tests.contracts.test_scorers import DIM, make_filter, make_model

NUM_ITEMS = 2 * MIN_CHUNK + 500
ROWS = 128
"""So many that chunks have their minimum length, and there are three of them."""
EMBEDDINGS = [Part("full"), Part("blocks"), Part("compositional"), Part("codes"), Part("codes", {"levels": 16})]


@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=lambda part: f"{part.name}{len(part.options)}")
@pytest.mark.parametrize("share_allowed", [None, 0.01])
@torch.inference_mode()
def test_top_k_has_the_largest_cosines_of_the_full_table(embedding: Part, share_allowed: float | None) -> None:
    model_embedding = make_model(embedding, "tied", NUM_ITEMS, 0, whole=False).embedding
    items = torch.from_numpy(np.random.default_rng(0).integers(1, NUM_ITEMS + 1, ROWS))
    unit = torch.nn.functional.normalize(model_embedding.table())
    cosines = unit[items] @ unit.T
    item_filter = make_filter(NUM_ITEMS, ROWS, 1, 0.05, share_allowed)
    item_filter.mask(cosines)
    top = CosineScan(model_embedding).find_top_k(items, 10, item_filter)
    torch.testing.assert_close(top.values, cosines.topk(10).values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(cosines.gather(1, top.indices), top.values, rtol=1e-4, atol=1e-5)


COUNT = 4 * MAX_CHUNK


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest tensor that is created."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.numbers = max(self.numbers, result.numel() if isinstance(result, torch.Tensor) else 0)
        return result


@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=lambda part: f"{part.name}{len(part.options)}")
def test_no_tensor_is_as_large_as_the_table_or_all_scores(embedding: Part) -> None:
    model_embedding = make_model(embedding, "tied", COUNT, 0, whole=False).embedding
    with torch.no_grad(), LargestTensor() as largest:
        CosineScan(model_embedding).find_top_k(torch.arange(1, 9), 10, ItemFilter(COUNT))
    assert COUNT < largest.numbers <= 2 * MAX_CHUNK * DIM
