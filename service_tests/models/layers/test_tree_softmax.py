"""The tree softmax: a distribution over the catalogue, its loss, and its fast N best against the exhaustive ones."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.layers import tree_softmax
from models.layers.tree_softmax import TreeSoftmax
from models.layers.tree_top import find_best_items

DIM = 8


def tree_of(num_items: int, cuts: list[int] | None, seed: int = 0, std: float = 1.0) -> TreeSoftmax:
    made = TreeSoftmax(num_items, DIM, cuts, factor=2)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=std, generator=generator)
    return made


def hidden_of(rows: int, seed: int = 1) -> Tensor:
    return torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed))


CUTS = st.lists(st.integers(1, 39), unique=True, max_size=5).map(sorted)


@settings(deadline=None, max_examples=40)
@given(cuts=CUTS, seed=st.integers(0, 1000))
def test_the_probabilities_of_all_items_sum_to_1(cuts: list[int], seed: int) -> None:
    probabilities = tree_of(40, cuts, seed).log_probabilities(hidden_of(5)).exp()
    assert probabilities.shape == (5, 40)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(5))


def test_an_item_of_a_tail_has_the_probability_of_its_token_times_its_own_within_the_tail() -> None:
    tree, hidden = tree_of(40, [10, 25]), hidden_of(3)
    first = (hidden @ tree.first.weight.T).softmax(-1)
    second = (hidden @ tree.narrow[0].T @ tree.tails[0].get_parameter("weight").T).softmax(-1)
    third = (hidden @ tree.narrow[1].T @ tree.tails[1].get_parameter("weight").T).softmax(-1)
    probabilities = tree.log_probabilities(hidden).exp()
    assert first.shape == (3, 12)  # ten items and two tokens
    torch.testing.assert_close(probabilities[:, 9], first[:, 9])
    torch.testing.assert_close(probabilities[:, 10], first[:, 10] * second[:, 0])
    torch.testing.assert_close(probabilities[:, 24], first[:, 10] * second[:, 14])
    torch.testing.assert_close(probabilities[:, 25:], first[:, 11:] * third)


def test_a_single_block_is_a_plain_softmax() -> None:
    tree, hidden = tree_of(40, []), hidden_of(3)
    assert [tuple(parameter.shape) for parameter in tree.parameters()] == [(40, DIM)]
    torch.testing.assert_close(tree.log_probabilities(hidden), (hidden @ tree.first.weight.T).log_softmax(-1))


@settings(deadline=None, max_examples=40)
@given(cuts=CUTS, seed=st.integers(0, 1000), tokens=st.integers(1, 30), budget=st.integers(1, 500))
def test_the_loss_and_its_gradients_are_those_of_minus_log_p(
    cuts: list[int], seed: int, tokens: int, budget: int
) -> None:
    ours, theirs = tree_of(40, cuts, seed, 0.5), tree_of(40, cuts, seed, 0.5)
    targets = torch.randint(1, 41, (tokens,), generator=torch.Generator().manual_seed(seed))
    ours_hidden, theirs_hidden = hidden_of(tokens).requires_grad_(), hidden_of(tokens).requires_grad_()
    loss = ours.cross_entropy(ours_hidden, targets, budget)
    expected = -theirs.log_probabilities(theirs_hidden).gather(1, targets[:, None] - 1).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours_hidden.grad, theirs_hidden.grad)
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        gradient = torch.zeros_like(left) if left.grad is None else left.grad  # a tail that no target is in
        assert right.grad is not None
        torch.testing.assert_close(gradient, right.grad, rtol=1e-4, atol=1e-6)


def test_only_positions_with_a_target_in_a_tail_touch_it(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[tuple[int, int]] = []

    def spy(hidden: Tensor, candidates: Tensor, *rest: object, **more: object) -> Tensor:
        computed.append((len(hidden), len(candidates)))
        return hidden.sum()

    monkeypatch.setattr(tree_softmax, "candidate_cross_entropy", spy)
    tree_of(40, [10, 25, 30]).cross_entropy(hidden_of(6), torch.tensor([1, 10, 11, 31, 40, 2]))
    assert computed == [(6, 13), (1, 15), (2, 10)]


@settings(deadline=None, max_examples=80)
@given(
    cuts=CUTS,
    seed=st.integers(0, 1000),
    count=st.sampled_from([1, 2, 5, 10, 39, 40, 60]),
    std=st.sampled_from([0.1, 0.5, 2.0]),
)
def test_the_fast_best_are_the_exhaustive_best(cuts: list[int], seed: int, count: int, std: float) -> None:
    tree, hidden = tree_of(40, cuts, seed, std), hidden_of(7, seed)
    everything = tree.log_probabilities(hidden).double().sort(dim=-1, descending=True, stable=True)
    best = find_best_items(tree, hidden, count)
    assert best.indices.shape == (7, min(count, 40))
    torch.testing.assert_close(best.log_probabilities, everything.values[:, :count].float())
    # Compared by value: two products of different shape may differ in the last digit and swap equals.
    looked_up = tree.log_probabilities(hidden).gather(1, best.indices - 1)
    torch.testing.assert_close(looked_up, best.log_probabilities)
    assert all(len(set(row)) == len(row) for row in best.indices.tolist())


def with_probabilities(first: list[float], tails: list[list[float]]) -> TreeSoftmax:
    """A tree that gives (1, 0, …) these probabilities: of the first level with its tokens, and within each tail."""
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


ONE = torch.nn.functional.one_hot(torch.tensor([0]), DIM).float()


def best_by_the_published_rule(tree: TreeSoftmax, hidden: Tensor, count: int) -> list[int]:
    """One row: a tail is opened only if its token is among the `count` best of the first level."""
    items, tokens = tree.compute_first_level(hidden)
    opened = torch.cat((items, tokens), dim=-1).topk(count).indices[0] - items.shape[-1]
    allowed = torch.full((tree.num_items,), -torch.inf)
    allowed[: items.shape[-1]] = 0.0
    for tail in opened[opened >= 0].tolist():
        allowed[tree.ends[tail] : tree.ends[tail + 1]] = 0.0
    indices: list[int] = (tree.log_probabilities(hidden)[0] + allowed).topk(count).indices.add(1).tolist()
    return indices


def test_the_best_item_may_be_in_a_tail_whose_token_is_not_the_best_of_the_first_level() -> None:
    tree = with_probabilities([0.25, 0.40, 0.35], [[0.1] * 10, [0.98, 0.02]])
    best = find_best_items(tree, ONE, 1)
    assert best.indices.tolist() == [[12]]  # the first of the second tail, 0.343
    assert best.tails_searched.tolist() == [2]
    assert best_by_the_published_rule(tree, ONE, 1) == [1]


def test_a_tail_that_cannot_hold_a_better_item_stays_shut() -> None:
    tree = with_probabilities([0.5, 0.2, 0.19, 0.11], [[0.5, 0.5], [0.9, 0.1]])
    assert find_best_items(tree, ONE, 1).tails_searched.tolist() == [0]
    assert find_best_items(tree, ONE, 2).tails_searched.tolist() == [0]
    three = find_best_items(tree, ONE, 3)  # 0.19 / 2 is below the token at 0.11, so both are opened
    assert (three.indices.tolist(), three.tails_searched.tolist()) == ([[1, 2, 5]], [2])


def test_rows_open_tails_of_their_own() -> None:
    tree = with_probabilities([0.6, 0.3, 0.1], [[0.5, 0.5], [0.5, 0.5]])
    both = torch.cat((ONE, -ONE))  # the other row likes what this one does not
    assert find_best_items(tree, both, 1).tails_searched.tolist() == [0, 1]
    assert find_best_items(tree, both, 1).indices.tolist() == [[1], [4]]


def test_equal_items_come_by_rising_index() -> None:
    tree = with_probabilities([0.2, 0.2, 0.2, 0.4], [[0.5, 0.5]])
    assert find_best_items(tree, ONE, 5).indices.tolist() == [[1, 2, 3, 4, 5]]
