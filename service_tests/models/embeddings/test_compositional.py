"""LSAN's embedding: shared base tables, weights that sum to one, and vectors that depend on the context."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.batch import SequenceBatch
from models.build import build_model, complete_config
from models.catalogue.catalogue import Catalogue
from models.config import Part
from models.embeddings.compositional import CompositionalEmbedding
from models.presets import preset
from models.times import NO_HOUR

DIM = 8
CATEGORIES = [["a"], ["b"], ["a", "b"], [], ["a"], ["c"], ["b", "a", "c"], [], ["d", "d"], ["a"]]
NUM_ITEMS = len(CATEGORIES)


def make_catalogue() -> Catalogue:
    names = [f"i{number}" for number in range(NUM_ITEMS)]
    return Catalogue(names, np.arange(NUM_ITEMS, 0, -1), [None] * NUM_ITEMS, CATEGORIES)


def build_embedding(**options: Any) -> CompositionalEmbedding:
    """Build an embedding with the catalogue's categories and weights far from the initial ones."""
    torch.manual_seed(0)
    embedding = CompositionalEmbedding(
        NUM_ITEMS, DIM, **CompositionalEmbedding.complete_options(make_catalogue(), options)
    )
    embedding.fit(make_catalogue(), [])
    with torch.no_grad():
        for parameter in embedding.parameters():
            parameter.normal_(std=0.4)
    return embedding


def at_hour(hour: int) -> int:
    """Return a Unix time in that hour of a day, or the value for an unknown time."""
    return 0 if hour == NO_HOUR else 10**9 // 86_400 * 86_400 + 3600 * hour


def batch(*items: int, hours: list[int] | None = None) -> SequenceBatch:
    return SequenceBatch(
        torch.tensor([items]),
        torch.tensor([len(items)]),
        None if hours is None else torch.tensor([[at_hour(hour) for hour in hours]]),
    )


def compute_vectors(embedding: CompositionalEmbedding, *items: int, hours: list[int] | None = None) -> Tensor:
    vectors: Tensor = embedding(batch(*items, hours=hours))
    return vectors[0]


def get_category_row(name: str) -> int:
    """Return the row of a category: from 3 on, those with most items first, ties in alphabetical order."""
    return 3 + ["a", "b", "c", "d"].index(name)


def test_number_of_categories_comes_from_the_catalogue() -> None:
    options = CompositionalEmbedding.complete_options(make_catalogue(), {"fineness": 2})
    assert options == {"fineness": 2, "num_categories": 4, "max_categories": 3}
    explicit = {"num_categories": 2, "max_categories": 1}
    assert CompositionalEmbedding.complete_options(make_catalogue(), explicit) == explicit


def test_weights_of_the_tables_sum_to_one() -> None:
    embedding = build_embedding(bases=[3, 2, 2])
    inputs = batch(1, 7, 3, 10, 4, hours=[0, 23, 5, 5, NO_HOUR])
    weights = embedding.compute_weights(inputs.items, embedding.compute_context(inputs))
    assert weights.shape == (1, 5, 3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 5))
    assert weights.std(-1).min() > 1e-3, "not all weights are equal"
    torch.testing.assert_close(embedding.compute_candidate_weights(torch.arange(1, 11)).sum(-1), torch.ones(10))


def test_weights_match_the_formula() -> None:
    embedding = build_embedding(bases=[4, 3])
    inputs = batch(2, 8)
    context = embedding.compute_context(inputs)[0, 1]
    # Item 8 has index 7 from 0: row 7 mod 4 = 3 of the first table, row 7 // 4 = 1 of the second, behind it.
    base_vectors = embedding.rows.weight[[3, 4 + 1]]
    keys = base_vectors @ embedding.key.weight.T
    expected = ((keys * keys.sigmoid()) @ context).softmax(0)
    torch.testing.assert_close(
        embedding.compute_weights(inputs.items, embedding.compute_context(inputs))[0, 1], expected
    )
    composed = embedding.compose(
        inputs.items, embedding.compute_weights(inputs.items, embedding.compute_context(inputs))
    )[0, 1]
    torch.testing.assert_close(composed, expected @ base_vectors)


def test_one_base_table_equals_a_plain_table() -> None:
    embedding = build_embedding(bases=[NUM_ITEMS])
    inputs = batch(4, 10, 1)
    composed = embedding.compose(
        inputs.items, embedding.compute_weights(inputs.items, embedding.compute_context(inputs))
    )
    torch.testing.assert_close(composed[0], embedding.rows.weight[[3, 9, 0]])


def test_all_items_have_different_vectors() -> None:
    embedding = build_embedding(fineness=1, num_categories=0, max_categories=1)
    assert sum(embedding.bases) < NUM_ITEMS
    table = embedding.table().detach()
    assert torch.pdist(table).min() > 1e-3


def test_context_of_an_item_with_several_categories_is_their_mean() -> None:
    embedding = build_embedding()
    a, b, c = (embedding.current.weight[get_category_row(name)] for name in "abc")
    means = embedding.categories.average_vectors(torch.tensor([1, 3, 7, 9]), embedding.current.weight)
    expected = torch.stack([a, (a + b) / 2, (a + b + c) / 3, embedding.current.weight[get_category_row("d")]])
    torch.testing.assert_close(means, expected)


def test_missing_category_and_missing_previous_item_have_dedicated_rows() -> None:
    embedding = build_embedding()
    context = embedding.compute_context(batch(8, 1))[0]
    no_hour = embedding.hours.weight[NO_HOUR]
    no_previous, no_category = 1, 2
    first = embedding.previous.weight[no_previous] + embedding.current.weight[no_category] + no_hour
    second = embedding.previous.weight[no_category] + embedding.current.weight[get_category_row("a")] + no_hour
    torch.testing.assert_close(context, torch.stack([first, second]))


def test_previous_category_changes_the_vector_of_an_item() -> None:
    embedding = build_embedding()
    after_b, after_a, after_second_a = (compute_vectors(embedding, before, 5)[1] for before in (2, 1, 10))
    assert not torch.allclose(after_b, after_a)
    torch.testing.assert_close(after_second_a, after_a)
    assert not torch.allclose(compute_vectors(embedding, 5)[0], after_a)


def test_hour_changes_the_vector_and_missing_hours_are_unknown_hours() -> None:
    embedding = build_embedding()
    morning, evening = compute_vectors(embedding, 1, 2, hours=[8, 8]), compute_vectors(embedding, 1, 2, hours=[8, 20])
    torch.testing.assert_close(morning[0], evening[0])
    assert not torch.allclose(morning[1], evening[1])
    torch.testing.assert_close(
        compute_vectors(embedding, 1, 2), compute_vectors(embedding, 1, 2, hours=[NO_HOUR, NO_HOUR])
    )


def test_padding_is_zero() -> None:
    embedding = build_embedding()
    assert not compute_vectors(embedding, 3, 1, 0, 0)[2:].any()
    assert not embedding.table(torch.tensor([0])).any()


@pytest.mark.parametrize("options", [{}, {"bases": [3, 2, 2]}, {"fineness": 1, "num_categories": 0}], ids=str)
def test_scores_equal_the_product_with_the_table(options: dict[str, Any]) -> None:
    embedding, hidden = build_embedding(**options), torch.randn(2, 3, DIM)
    torch.testing.assert_close(embedding.scores(hidden), hidden @ embedding.table().T, rtol=1e-4, atol=1e-5)


def test_cached_weights_of_evaluation_are_dropped_by_training() -> None:
    embedding, hidden = build_embedding().eval(), torch.randn(3, DIM)
    with torch.inference_mode():
        before = embedding.scores(hidden)
        torch.testing.assert_close(embedding.scores(hidden), before)
    embedding.train()
    with torch.no_grad():
        embedding.current.weight.normal_()
    embedding.eval()
    with torch.inference_mode():
        assert not torch.allclose(embedding.scores(hidden), before)
        torch.testing.assert_close(embedding.scores(hidden), hidden @ embedding.table().T, rtol=1e-4, atol=1e-5)


def test_rare_categories_beyond_the_limits_are_ignored() -> None:
    embedding = build_embedding(num_categories=2, max_categories=1)
    assert embedding.categories.lists[1:, 0].tolist() == [3, 4, 3, 2, 3, 2, 3, 2, 2, 3]
    assert embedding.current.weight.shape[0] == 3 + 2


@pytest.mark.parametrize(("count", "kind"), [(18, torch.uint8), (253, torch.uint8), (254, torch.int16)])
def test_category_lists_have_the_smallest_sufficient_dtype(count: int, kind: torch.dtype) -> None:
    lists = CompositionalEmbedding(5, DIM, num_categories=count).categories.lists
    assert lists.dtype == kind
    assert torch.iinfo(kind).max >= 3 + count - 1


@pytest.mark.parametrize("bases", [[], [3, 3], [20, 0], [0]])
def test_bases_smaller_than_the_catalogue_are_rejected(bases: list[int]) -> None:
    with pytest.raises(ValueError, match="must have a product of at least 10 items"):
        CompositionalEmbedding(NUM_ITEMS, DIM, bases=bases)


def test_initial_vectors_are_close_to_the_table_and_have_the_scale_of_a_full_one() -> None:
    config = dataclasses.replace(preset("lsan"), embedding=Part("compositional"))
    torch.manual_seed(0)
    embedding = build_model(complete_config(config, make_catalogue()), NUM_ITEMS).embedding
    items = list(range(1, NUM_ITEMS + 1))
    first, table = embedding(batch(*items))[0], embedding.table(torch.tensor(items))
    assert 0.01 < first.std() < 0.04
    assert torch.cosine_similarity(first, table).min() > 0.8
