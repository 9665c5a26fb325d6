"""The tree softmax is a distribution over the catalogue; its loss and top N equal the exhaustive computation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.layers import tree_softmax
from models.layers.tree_softmax import TreeSoftmax
from models.layers.tree_top import find_best_items

DIM = 8


def create_tree(num_items: int, cuts: list[int] | None, seed: int = 0, std: float = 1.0) -> TreeSoftmax:
    tree = TreeSoftmax(num_items, DIM, cuts, factor=2)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in tree.parameters():
            parameter.normal_(std=std, generator=generator)
    return tree


def create_hidden(rows: int, seed: int = 1) -> Tensor:
    return torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed))


CUTS = st.lists(st.integers(1, 39), unique=True, max_size=5).map(sorted)


@settings(deadline=None, max_examples=40)
@given(cuts=CUTS, seed=st.integers(0, 1000))
def test_probabilities_of_all_items_sum_to_1(cuts: list[int], seed: int) -> None:
    probabilities = create_tree(40, cuts, seed).log_probabilities(create_hidden(5)).exp()
    assert probabilities.shape == (5, 40)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(5))


def test_tail_item_probability_is_token_times_conditional_probability() -> None:
    tree, hidden = create_tree(40, [10, 25]), create_hidden(3)
    first = (hidden @ tree.first.weight.T).softmax(-1)
    second = (hidden @ tree.narrow[0].T @ tree.tails[0].get_parameter("weight").T).softmax(-1)
    third = (hidden @ tree.narrow[1].T @ tree.tails[1].get_parameter("weight").T).softmax(-1)
    probabilities = tree.log_probabilities(hidden).exp()
    assert first.shape == (3, 12)  # ten items and two tokens
    torch.testing.assert_close(probabilities[:, 9], first[:, 9])
    torch.testing.assert_close(probabilities[:, 10], first[:, 10] * second[:, 0])
    torch.testing.assert_close(probabilities[:, 24], first[:, 10] * second[:, 14])
    torch.testing.assert_close(probabilities[:, 25:], first[:, 11:] * third)


def test_single_block_equals_plain_softmax() -> None:
    tree, hidden = create_tree(40, []), create_hidden(3)
    assert [tuple(parameter.shape) for parameter in tree.parameters()] == [(40, DIM)]
    torch.testing.assert_close(tree.log_probabilities(hidden), (hidden @ tree.first.weight.T).log_softmax(-1))


@settings(deadline=None, max_examples=40)
@given(cuts=CUTS, seed=st.integers(0, 1000), tokens=st.integers(1, 30), max_cells=st.integers(1, 500))
def test_loss_and_gradients_equal_negative_log_probability(
    cuts: list[int], seed: int, tokens: int, max_cells: int
) -> None:
    tree, expected_tree = create_tree(40, cuts, seed, 0.5), create_tree(40, cuts, seed, 0.5)
    targets = torch.randint(1, 41, (tokens,), generator=torch.Generator().manual_seed(seed))
    hidden, expected_hidden = create_hidden(tokens).requires_grad_(), create_hidden(tokens).requires_grad_()
    loss = tree.cross_entropy(hidden, targets, max_cells)
    expected = -expected_tree.log_probabilities(expected_hidden).gather(1, targets[:, None] - 1).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(hidden.grad, expected_hidden.grad)
    for parameter, expected_parameter in zip(tree.parameters(), expected_tree.parameters(), strict=True):
        # A tail without a target has no gradient.
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert expected_parameter.grad is not None
        torch.testing.assert_close(gradient, expected_parameter.grad, rtol=1e-4, atol=1e-6)


def test_tail_is_computed_only_for_positions_with_a_target_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[tuple[int, int]] = []

    def record_call(hidden: Tensor, candidates: Tensor, *arguments: object, **options: object) -> Tensor:
        computed.append((len(hidden), len(candidates)))
        return hidden.sum()

    monkeypatch.setattr(tree_softmax, "candidate_cross_entropy", record_call)
    create_tree(40, [10, 25, 30]).cross_entropy(create_hidden(6), torch.tensor([1, 10, 11, 31, 40, 2]))
    assert computed == [(6, 13), (1, 15), (2, 10)]


@settings(deadline=None, max_examples=80)
@given(
    cuts=CUTS,
    seed=st.integers(0, 1000),
    count=st.sampled_from([1, 2, 5, 10, 39, 40, 60]),
    std=st.sampled_from([0.1, 0.5, 2.0]),
)
def test_top_items_equal_exhaustive_top_items(cuts: list[int], seed: int, count: int, std: float) -> None:
    tree, hidden = create_tree(40, cuts, seed, std), create_hidden(7, seed)
    expected = tree.log_probabilities(hidden).double().sort(dim=-1, descending=True, stable=True)
    best = find_best_items(tree, hidden, count)
    assert best.indices.shape == (7, min(count, 40))
    torch.testing.assert_close(best.log_probabilities, expected.values[:, :count].float())
    # Compared by value: two products of different shape may differ in the last digit and swap ties.
    recomputed = tree.log_probabilities(hidden).gather(1, best.indices - 1)
    torch.testing.assert_close(recomputed, best.log_probabilities)
    assert all(len(set(row)) == len(row) for row in best.indices.tolist())


def create_tree_with_probabilities(first: list[float], tails: list[list[float]]) -> TreeSoftmax:
    """Create a tree with these probabilities for (1, 0, …): first level with tokens, then within each tail."""
    items = len(first) - len(tails)
    sizes = [items, *(len(tail) for tail in tails)]
    ends = torch.tensor(sizes).cumsum(0).tolist()
    tree = TreeSoftmax(ends[-1], DIM, ends[:-1], factor=1)
    with torch.no_grad():
        for parameter in tree.parameters():
            parameter.zero_()
        tree.first.weight[:, 0] = torch.tensor(first).log()
        for narrow, module, tail in zip(tree.narrow, tree.tails, tails, strict=True):
            narrow[0, 0] = 1.0
            module.get_parameter("weight")[:, 0] = torch.tensor(tail).log()
    return tree


UNIT_VECTOR = torch.nn.functional.one_hot(torch.tensor([0]), DIM).float()


def find_top_by_published_rule(tree: TreeSoftmax, hidden: Tensor, count: int) -> list[int]:
    """Search a tail only if its token is among the `count` best of the first level, for one row."""
    items, tokens = tree.compute_first_level(hidden)
    searched = torch.cat((items, tokens), dim=-1).topk(count).indices[0] - items.shape[-1]
    allowed = torch.full((tree.num_items,), -torch.inf)
    allowed[: items.shape[-1]] = 0.0
    for tail in searched[searched >= 0].tolist():
        allowed[tree.ends[tail] : tree.ends[tail + 1]] = 0.0
    indices: list[int] = (tree.log_probabilities(hidden)[0] + allowed).topk(count).indices.add(1).tolist()
    return indices


def test_best_item_may_be_in_a_tail_whose_token_is_not_first() -> None:
    tree = create_tree_with_probabilities([0.25, 0.40, 0.35], [[0.1] * 10, [0.98, 0.02]])
    best = find_best_items(tree, UNIT_VECTOR, 1)
    assert best.indices.tolist() == [[12]]  # the first of the second tail, 0.343
    assert best.tails_searched.tolist() == [2]
    assert find_top_by_published_rule(tree, UNIT_VECTOR, 1) == [1]


def test_tail_that_cannot_contain_a_better_item_is_skipped() -> None:
    tree = create_tree_with_probabilities([0.5, 0.2, 0.19, 0.11], [[0.5, 0.5], [0.9, 0.1]])
    assert find_best_items(tree, UNIT_VECTOR, 1).tails_searched.tolist() == [0]
    assert find_best_items(tree, UNIT_VECTOR, 2).tails_searched.tolist() == [0]
    three = find_best_items(tree, UNIT_VECTOR, 3)  # 0.19 / 2 is below the token at 0.11, so both are searched
    assert (three.indices.tolist(), three.tails_searched.tolist()) == ([[1, 2, 5]], [2])


def test_each_row_searches_its_own_tails() -> None:
    tree = create_tree_with_probabilities([0.6, 0.3, 0.1], [[0.5, 0.5], [0.5, 0.5]])
    both = torch.cat((UNIT_VECTOR, -UNIT_VECTOR))  # the second row has the opposite preferences
    assert find_best_items(tree, both, 1).tails_searched.tolist() == [0, 1]
    assert find_best_items(tree, both, 1).indices.tolist() == [[1], [4]]


def test_ties_are_ordered_by_index() -> None:
    tree = create_tree_with_probabilities([0.2, 0.2, 0.2, 0.4], [[0.5, 0.5]])
    assert find_best_items(tree, UNIT_VECTOR, 5).indices.tolist() == [[1, 2, 3, 4, 5]]
