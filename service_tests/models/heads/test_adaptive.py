"""The adaptive head: parameter counts, log-probabilities as scores, and an exact top-k search."""

import pytest
import torch

from models.embeddings.full import FullEmbedding
from models.heads.adaptive import AdaptiveHead
from models.heads.base import Negatives

ITEMS, DIM = 60, 16
EMBEDDING = FullEmbedding(ITEMS, DIM)


def build_head() -> AdaptiveHead:
    torch.manual_seed(0)
    head = AdaptiveHead(ITEMS, DIM)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.5)
    return head


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [([7000, 15000], 4_850_944), ([2000, 8000], 2_258_944), ([1000, 4000, 10_000], 1_255_552)],
)
def test_parameter_count_of_20000_items_at_width_512(cuts: list[int], expected: int) -> None:
    with torch.device("meta"):
        head = AdaptiveHead(20_000, 512, cuts=cuts)
    assert sum(parameter.numel() for parameter in head.parameters()) == expected


def test_fourth_block_has_its_width_divided_by_the_cubed_factor() -> None:
    tree = AdaptiveHead(20_000, 512, cuts=[1000, 4000, 10_000]).tree
    assert [len(narrow) for narrow in tree.narrow] == [128, 32, 8]


def test_scores_are_log_probabilities_and_padding_is_minus_infinity() -> None:
    scores = build_head().scores(torch.randn(2, 3, DIM), EMBEDDING)
    assert scores.shape == (2, 3, ITEMS + 1)
    assert torch.equal(scores[..., 0], torch.full((2, 3), -torch.inf))
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(2, 3))


def test_loss_is_minus_the_score_of_the_target_with_and_without_negatives() -> None:
    head, hidden, targets = build_head(), torch.randn(30, DIM), torch.randint(1, ITEMS + 1, (30,))
    negatives = Negatives(torch.tensor([1, 2, 3]), torch.zeros(3))
    expected = -head.scores(hidden, EMBEDDING).gather(1, targets[:, None]).mean()
    torch.testing.assert_close(head.cross_entropy(hidden, targets, EMBEDDING, None), expected)
    torch.testing.assert_close(head.cross_entropy(hidden, targets, EMBEDDING, negatives), expected)


def test_top_k_matches_the_scores() -> None:
    head, hidden = build_head(), torch.randn(30, DIM)
    expected = head.scores(hidden, EMBEDDING).topk(5)
    best = head.find_top_k(hidden, 5)
    assert torch.equal(best.indices, expected.indices)
    torch.testing.assert_close(best.log_probabilities, expected.values)
