"""The dense head: its loss is the cross-entropy of its scores, its bias learns, and padding has no weight."""

import torch
import torch.nn.functional as F

from models.embeddings.full import FullEmbedding
from models.heads.base import Negatives
from models.heads.dense import DenseHead

ITEMS, DIM, TOKENS = 30, 8, 12


def made() -> tuple[DenseHead, FullEmbedding, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    head = DenseHead(ITEMS, DIM)
    with torch.no_grad():
        head.output.bias.normal_()
    return head, FullEmbedding(ITEMS, DIM), torch.randn(TOKENS, DIM), torch.randint(1, ITEMS + 1, (TOKENS,))


def test_it_has_one_row_and_one_bias_per_item_and_none_for_padding() -> None:
    head, embedding, hidden, _ = made()
    assert sum(parameter.numel() for parameter in head.parameters()) == ITEMS * (DIM + 1)
    assert head.scores(hidden, embedding).shape == (TOKENS, ITEMS + 1)


def test_weights_and_bias_learn_as_from_the_scores() -> None:
    head, embedding, hidden, targets = made()
    head.cross_entropy(hidden, targets, embedding, None).backward()
    chunked = [parameter.grad for parameter in head.parameters()]
    head.zero_grad()
    F.cross_entropy(head.scores(hidden, embedding)[:, 1:], targets - 1).backward()
    for got, parameter in zip(chunked, head.parameters(), strict=True):
        assert got is not None
        assert parameter.grad is not None
        torch.testing.assert_close(got, parameter.grad)


def test_against_every_item_once_the_sampled_loss_is_the_full_one() -> None:
    head, embedding, hidden, targets = made()
    everything = Negatives(torch.arange(1, ITEMS + 1), torch.zeros(ITEMS))
    sampled = head.cross_entropy(hidden, targets, embedding, everything)
    torch.testing.assert_close(sampled, head.cross_entropy(hidden, targets, embedding, None))


def test_a_negative_that_was_expected_more_often_counts_less() -> None:
    head, embedding, hidden, targets = made()
    negatives = Negatives(torch.tensor([3, 9, 9, 17]), torch.tensor([0.5, -1.0, -1.0, 2.0]))
    scores = head.scores(hidden, embedding)
    others = scores[:, negatives.items] - negatives.log_expected
    others = others.masked_fill(targets[:, None] == negatives.items, -torch.inf)
    logits = torch.cat((scores.gather(1, targets[:, None]), others), dim=1)
    expected = -logits.log_softmax(-1)[:, 0].mean()
    torch.testing.assert_close(head.cross_entropy(hidden, targets, embedding, negatives), expected)
