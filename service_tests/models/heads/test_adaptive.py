"""The adaptive head: its size, log-probabilities as scores, and the same answers by the short way."""

import pytest
import torch

from models.embeddings.full import FullEmbedding
from models.heads.adaptive import AdaptiveHead
from models.heads.base import Negatives

ITEMS, DIM = 60, 16
EMBEDDING = FullEmbedding(ITEMS, DIM)


def head() -> AdaptiveHead:
    torch.manual_seed(0)
    made = AdaptiveHead(ITEMS, DIM)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [([7000, 15000], 4_850_944), ([2000, 8000], 2_258_944), ([1000, 4000, 10_000], 1_255_552)],
)
def test_20000_items_at_width_512_have_as_many_weights_as_the_arithmetic_says(cuts: list[int], expected: int) -> None:
    with torch.device("meta"):
        made = AdaptiveHead(20_000, 512, cuts=cuts)
    assert sum(parameter.numel() for parameter in made.parameters()) == expected


def test_the_fourth_block_has_the_third_power_of_the_factor() -> None:
    tree = AdaptiveHead(20_000, 512, cuts=[1000, 4000, 10_000]).tree
    assert [len(narrow) for narrow in tree.narrow] == [128, 32, 8]


def test_scores_are_log_probabilities_and_padding_has_none() -> None:
    scores = head().scores(torch.randn(2, 3, DIM), EMBEDDING)
    assert scores.shape == (2, 3, ITEMS + 1)
    assert torch.equal(scores[..., 0], torch.full((2, 3), -torch.inf))
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(2, 3))


def test_the_loss_is_minus_the_score_of_the_target_and_negatives_do_not_change_it() -> None:
    made, hidden, targets = head(), torch.randn(30, DIM), torch.randint(1, ITEMS + 1, (30,))
    negatives = Negatives(torch.tensor([1, 2, 3]), torch.zeros(3))
    expected = -made.scores(hidden, EMBEDDING).gather(1, targets[:, None]).mean()
    torch.testing.assert_close(made.cross_entropy(hidden, targets, EMBEDDING, None), expected)
    torch.testing.assert_close(made.cross_entropy(hidden, targets, EMBEDDING, negatives), expected)


def test_the_best_items_are_those_of_the_scores() -> None:
    made, hidden = head(), torch.randn(30, DIM)
    expected = made.scores(hidden, EMBEDDING).topk(5)
    best = made.find_top_k(hidden, 5)
    assert torch.equal(best.indices, expected.indices)
    torch.testing.assert_close(best.log_probabilities, expected.values)
