"""Boosts are exact in every scorer: items that enter the top k by their boost are found, however low they scored."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.inference.filters.boost_classes import BoostClasses
from models.config import Part
from models.scorers.base import TopK
from models.scorers.filter import ItemFilter
from models.scorers.order import select_top_k
from service_tests.contracts.test_scorers import (
    FORMS,
    SCORERS,
    assert_same,
    format_form,
    make_filter,
    make_model,
    make_queries,
)

ADDS = [-20.0, -0.5, 0.5, 3.0, 20.0]


def search_classes(
    form: tuple[str, Part, str], num_items: int, k: int, masks: list[NDArray[np.bool_]], adds: list[float], seed: int
) -> tuple[TopK, TopK]:
    """Return the top k of the scorer by classes, and that of all scores plus their boosts."""
    model = make_model(form[1], form[2], num_items, seed, whole=False)
    scorer = SCORERS[form[0]].for_model(model)
    if scorer is None:
        pytest.skip(f"{form[0]} does not run on this machine")
    hidden = make_queries(1, seed, whole=False)
    excluded = make_filter(num_items, 1, seed, 0.05, None).excluded
    assert excluded is not None
    classes = BoostClasses.from_masks(masks, adds).classes
    item_filter = ItemFilter(num_items, [excluded[0]] * len(classes), [group.mask for group in classes])
    with torch.inference_mode():
        top = scorer.find_top_k(hidden.repeat(len(classes), 1), k, item_filter)
        scores = top.values + torch.tensor([group.bonus for group in classes])[:, None]
        order = np.lexsort((top.indices.flatten(), -scores.flatten()))[:k]
        actual = TopK(top.indices.flatten()[order][None], scores.flatten()[order][None].float())
        plain = model.scores(hidden).float().clone()
        for mask, add in zip(masks, adds, strict=True):
            plain += add * torch.from_numpy(mask)
        ItemFilter(num_items, excluded).mask(plain)
        values, indices = select_top_k(plain, k)
    return actual, TopK(indices.masked_fill(values == -torch.inf, 0), values)


@pytest.mark.parametrize("form", FORMS, ids=format_form)
@settings(deadline=None, max_examples=6)
@given(
    num_items=st.integers(3, 300) | st.integers(4_000, 9_000),
    k=st.integers(1, 40),
    seed=st.integers(0, 99),
    shares=st.lists(st.sampled_from([0.002, 0.1, 0.6]), min_size=1, max_size=5),
    data=st.data(),
)
def test_top_k_is_that_of_all_scores_with_their_boosts(
    form: tuple[str, Part, str], num_items: int, k: int, seed: int, shares: list[float], data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random(num_items + 1) < share for share in shares]
    adds = [data.draw(st.sampled_from(ADDS)) for _ in shares]
    actual, expected = search_classes(form, num_items, min(k, num_items), masks, adds, seed)
    assert_same(actual, expected)
