"""The dense head: its loss is the cross-entropy of its scores, its bias is trained, and padding has no weight."""

import torch
import torch.nn.functional as F

from models.embeddings.full import FullEmbedding
from models.heads.base import Negatives
from models.heads.dense import DenseHead

ITEMS, DIM, TOKENS = 30, 8, 12


def make_case() -> tuple[DenseHead, FullEmbedding, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    head = DenseHead(ITEMS, DIM)
    with torch.no_grad():
        head.output.bias.normal_()
    return head, FullEmbedding(ITEMS, DIM), torch.randn(TOKENS, DIM), torch.randint(1, ITEMS + 1, (TOKENS,))


def test_head_has_one_row_and_one_bias_per_item_and_none_for_padding() -> None:
    head, embedding, hidden, _ = make_case()
    assert sum(parameter.numel() for parameter in head.parameters()) == ITEMS * (DIM + 1)
    assert head.scores(hidden, embedding).shape == (TOKENS, ITEMS + 1)


def test_gradients_equal_those_of_the_cross_entropy_of_the_scores() -> None:
    head, embedding, hidden, targets = make_case()
    head.cross_entropy(hidden, targets, embedding, None).backward()
    chunked = [parameter.grad for parameter in head.parameters()]
    head.zero_grad()
    F.cross_entropy(head.scores(hidden, embedding)[:, 1:], targets - 1).backward()
    for gradient, parameter in zip(chunked, head.parameters(), strict=True):
        assert gradient is not None
        assert parameter.grad is not None
        torch.testing.assert_close(gradient, parameter.grad)


def test_sampled_loss_against_every_item_equals_the_full_loss() -> None:
    head, embedding, hidden, targets = make_case()
    all_items = Negatives(torch.arange(1, ITEMS + 1), torch.zeros(ITEMS))
    sampled = head.cross_entropy(hidden, targets, embedding, all_items)
    torch.testing.assert_close(sampled, head.cross_entropy(hidden, targets, embedding, None))


def test_negatives_are_corrected_by_their_expected_count() -> None:
    head, embedding, hidden, targets = make_case()
    negatives = Negatives(torch.tensor([3, 9, 9, 17]), torch.tensor([0.5, -1.0, -1.0, 2.0]))
    scores = head.scores(hidden, embedding)
    corrected = scores[:, negatives.items] - negatives.log_expected
    corrected = corrected.masked_fill(targets[:, None] == negatives.items, -torch.inf)
    logits = torch.cat((scores.gather(1, targets[:, None]), corrected), dim=1)
    expected = -logits.log_softmax(-1)[:, 0].mean()
    torch.testing.assert_close(head.cross_entropy(hidden, targets, embedding, negatives), expected)
