"""Items by cosine: what a table of all vectors would give, for every form, over many stretches, in bounded memory."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.config import Part
from models.scorers.exact.blocked import LONGEST, SHORTEST
from models.scorers.exact.cosine import CosineScan
from models.scorers.filter import ItemFilter
from service_tests.contracts.test_scorers import DIM, filters, model_of

NUM_ITEMS = 2 * SHORTEST + 500
ROWS = 128
"""So many that a stretch is as short as it gets, and there are three."""
EMBEDDINGS = [Part("full"), Part("blocks"), Part("compositional"), Part("codes"), Part("codes", {"codebook": 200})]


@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=lambda part: f"{part.name}{len(part.options)}")
@pytest.mark.parametrize("share_allowed", [None, 0.01])
@torch.inference_mode()
def test_the_largest_cosines_of_the_whole_table_come_back(embedding: Part, share_allowed: float | None) -> None:
    form = model_of(embedding, "tied", NUM_ITEMS, 0, whole=False).embedding
    asked = torch.from_numpy(np.random.default_rng(0).integers(1, NUM_ITEMS + 1, ROWS))
    unit = torch.nn.functional.normalize(form.table())
    cosines = unit[asked] @ unit.T
    item_filter = filters(NUM_ITEMS, ROWS, 1, 0.05, share_allowed)
    item_filter.mask(cosines)
    found = CosineScan(form).find_top_k(asked, 10, item_filter)
    torch.testing.assert_close(found.values, cosines.topk(10).values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(cosines.gather(1, found.indices), found.values, rtol=1e-4, atol=1e-5)


COUNT = 4 * LONGEST


class Largest(TorchDispatchMode):
    """The most numbers that a tensor had which was made meanwhile."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.numbers = max(self.numbers, made.numel() if isinstance(made, torch.Tensor) else 0)
        return made


@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=lambda part: f"{part.name}{len(part.options)}")
def test_no_tensor_has_room_for_the_whole_table_or_all_scores(embedding: Part) -> None:
    form = model_of(embedding, "tied", COUNT, 0, whole=False).embedding
    with torch.no_grad(), Largest() as largest:
        CosineScan(form).find_top_k(torch.arange(1, 9), 10, ItemFilter(COUNT))
    assert COUNT < largest.numbers <= 2 * LONGEST * DIM
