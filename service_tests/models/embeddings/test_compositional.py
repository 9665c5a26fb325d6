"""LSAN's embedding: tables shared by all, weights that sum to one, and vectors that depend on the context."""

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


def catalogue() -> Catalogue:
    names = [f"i{number}" for number in range(NUM_ITEMS)]
    return Catalogue(names, np.arange(NUM_ITEMS, 0, -1), [None] * NUM_ITEMS, CATEGORIES)


def embedding(**options: Any) -> CompositionalEmbedding:
    """With the catalogue's categories, and weights far from the start."""
    torch.manual_seed(0)
    made = CompositionalEmbedding(NUM_ITEMS, DIM, **CompositionalEmbedding.complete_options(catalogue(), options))
    made.fit(catalogue(), [])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.4)
    return made


def at_hour(hour: int) -> int:
    """Seconds of some day's hour, or of no time."""
    return 0 if hour == NO_HOUR else 10**9 // 86_400 * 86_400 + 3600 * hour


def batch(*items: int, hours: list[int] | None = None) -> SequenceBatch:
    return SequenceBatch(
        torch.tensor([items]),
        torch.tensor([len(items)]),
        None if hours is None else torch.tensor([[at_hour(hour) for hour in hours]]),
    )


def vectors(made: CompositionalEmbedding, *items: int, hours: list[int] | None = None) -> Tensor:
    found: Tensor = made(batch(*items, hours=hours))
    return found[0]


def row_of(name: str) -> int:
    """Categories count from 3, those with most items first, equals by name."""
    return 3 + ["a", "b", "c", "d"].index(name)


def test_the_catalogue_tells_how_many_categories_there_are() -> None:
    options = CompositionalEmbedding.complete_options(catalogue(), {"fineness": 2})
    assert options == {"fineness": 2, "num_categories": 4, "max_categories": 3}
    given = {"num_categories": 2, "max_categories": 1}
    assert CompositionalEmbedding.complete_options(catalogue(), given) == given


def test_weights_of_the_tables_sum_to_one() -> None:
    made = embedding(bases=[3, 2, 2])
    given = batch(1, 7, 3, 10, 4, hours=[0, 23, 5, 5, NO_HOUR])
    weights = made.compute_weights(given.items, made.compute_context(given))
    assert weights.shape == (1, 5, 3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 5))
    assert weights.std(-1).min() > 1e-3, "and they are not all alike"
    torch.testing.assert_close(made.compute_candidate_weights(torch.arange(1, 11)).sum(-1), torch.ones(10))


def test_the_weights_are_those_of_the_formula() -> None:
    made = embedding(bases=[4, 3])
    given = batch(2, 8)
    context = made.compute_context(given)[0, 1]
    # Item 8 is number 7 from 0: row 7 mod 4 = 3 of the first table, row 7 // 4 = 1 of the second, which follows it.
    base_vectors = made.rows.weight[[3, 4 + 1]]
    keys = base_vectors @ made.key.weight.T
    expected = ((keys * keys.sigmoid()) @ context).softmax(0)
    torch.testing.assert_close(made.compute_weights(given.items, made.compute_context(given))[0, 1], expected)
    composed = made.compose(given.items, made.compute_weights(given.items, made.compute_context(given)))[0, 1]
    torch.testing.assert_close(composed, expected @ base_vectors)


def test_one_table_is_a_plain_table() -> None:
    made = embedding(bases=[NUM_ITEMS])
    given = batch(4, 10, 1)
    composed = made.compose(given.items, made.compute_weights(given.items, made.compute_context(given)))
    torch.testing.assert_close(composed[0], made.rows.weight[[3, 9, 0]])


def test_no_two_items_share_a_vector() -> None:
    made = embedding(fineness=1, num_categories=0, max_categories=1)
    assert sum(made.bases) < NUM_ITEMS
    table = made.table().detach()
    assert torch.pdist(table).min() > 1e-3


def test_the_context_of_an_item_of_several_categories_is_their_mean() -> None:
    made = embedding()
    a, b, c = (made.current.weight[row_of(name)] for name in "abc")
    found = made.categories.average_vectors(torch.tensor([1, 3, 7, 9]), made.current.weight)
    expected = torch.stack([a, (a + b) / 2, (a + b + c) / 3, made.current.weight[row_of("d")]])
    torch.testing.assert_close(found, expected)


def test_no_category_and_no_previous_item_have_rows_of_their_own() -> None:
    made = embedding()
    context = made.compute_context(batch(8, 1))[0]
    no_hour = made.hours.weight[NO_HOUR]
    no_previous, no_category = 1, 2
    first = made.previous.weight[no_previous] + made.current.weight[no_category] + no_hour
    second = made.previous.weight[no_category] + made.current.weight[row_of("a")] + no_hour
    torch.testing.assert_close(context, torch.stack([first, second]))


def test_the_category_before_changes_the_vector_of_an_item() -> None:
    made = embedding()
    after_b, after_a, after_another_a = (vectors(made, before, 5)[1] for before in (2, 1, 10))
    assert not torch.allclose(after_b, after_a)
    torch.testing.assert_close(after_another_a, after_a)
    assert not torch.allclose(vectors(made, 5)[0], after_a)


def test_the_hour_changes_the_vector_and_no_hours_are_unknown_hours() -> None:
    made = embedding()
    morning, evening = vectors(made, 1, 2, hours=[8, 8]), vectors(made, 1, 2, hours=[8, 20])
    torch.testing.assert_close(morning[0], evening[0])
    assert not torch.allclose(morning[1], evening[1])
    torch.testing.assert_close(vectors(made, 1, 2), vectors(made, 1, 2, hours=[NO_HOUR, NO_HOUR]))


def test_padding_is_zero_and_gives_no_category_to_anyone() -> None:
    made = embedding()
    assert not vectors(made, 3, 1, 0, 0)[2:].any()
    assert not made.table(torch.tensor([0])).any()


@pytest.mark.parametrize("options", [{}, {"bases": [3, 2, 2]}, {"fineness": 1, "num_categories": 0}], ids=str)
def test_scores_are_the_product_with_the_table(options: dict[str, Any]) -> None:
    made, hidden = embedding(**options), torch.randn(2, 3, DIM)
    torch.testing.assert_close(made.scores(hidden), hidden @ made.table().T, rtol=1e-4, atol=1e-5)


def test_what_evaluation_keeps_is_forgotten_when_training_goes_on() -> None:
    made, hidden = embedding().eval(), torch.randn(3, DIM)
    with torch.inference_mode():
        before = made.scores(hidden)
        torch.testing.assert_close(made.scores(hidden), before)
    made.train()
    with torch.no_grad():
        made.current.weight.normal_()
    made.eval()
    with torch.inference_mode():
        assert not torch.allclose(made.scores(hidden), before)
        torch.testing.assert_close(made.scores(hidden), hidden @ made.table().T, rtol=1e-4, atol=1e-5)


def test_the_table_does_not_know_the_categories_it_has_no_room_for() -> None:
    made = embedding(num_categories=2, max_categories=1)
    assert made.categories.lists[1:, 0].tolist() == [3, 4, 3, 2, 3, 2, 3, 2, 2, 3]
    assert made.current.weight.shape[0] == 3 + 2


@pytest.mark.parametrize(("count", "kind"), [(18, torch.uint8), (253, torch.uint8), (254, torch.int16)])
def test_lists_are_as_small_as_their_numbers_allow(count: int, kind: torch.dtype) -> None:
    lists = CompositionalEmbedding(5, DIM, num_categories=count).categories.lists
    assert lists.dtype == kind
    assert torch.iinfo(kind).max >= 3 + count - 1


@pytest.mark.parametrize("bases", [[], [3, 3], [20, 0], [0]])
def test_bases_that_cannot_hold_the_catalogue_are_refused(bases: list[int]) -> None:
    with pytest.raises(ValueError, match="do not tell 10 items apart"):
        CompositionalEmbedding(NUM_ITEMS, DIM, bases=bases)


def test_the_first_vectors_are_nearly_those_of_the_table_and_as_large_as_those_of_a_full_one() -> None:
    config = dataclasses.replace(preset("lsan"), embedding=Part("compositional"))
    torch.manual_seed(0)
    made = build_model(complete_config(config, catalogue()), NUM_ITEMS).embedding
    items = list(range(1, NUM_ITEMS + 1))
    first, table = made(batch(*items))[0], made.table(torch.tensor(items))
    assert 0.01 < first.std() < 0.04
    assert torch.cosine_similarity(first, table).min() > 0.8
