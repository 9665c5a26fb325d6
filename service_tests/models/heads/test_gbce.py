"""Training heads by gBCE: the loss matches the formula, or the head rejects it."""

import pytest
import torch

from models.build import HEADS
from models.embeddings.full import FullEmbedding
from models.heads.base import UniformNegatives

ITEMS, DIM, TOKENS = 30, 8, 12


@pytest.mark.parametrize("name", ["tied", "dense"])
def test_loss_equals_the_gbce_of_the_scores(name: str) -> None:
    torch.manual_seed(0)
    head, embedding = HEADS[name](ITEMS, DIM), FullEmbedding(ITEMS, DIM)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    hidden, targets = torch.randn(TOKENS, DIM), torch.randint(1, ITEMS + 1, (TOKENS,))
    negatives = UniformNegatives(torch.tensor([3, 9, 9, 17, *targets[:2].tolist()]), 0.4)
    loss = head.gbce(hidden, targets, embedding, negatives)
    scores = head.scores(hidden, embedding)
    positive = scores.gather(1, targets[:, None]).squeeze(1)
    negative = scores[:, negatives.items].masked_fill(targets[:, None] == negatives.items, -torch.inf)
    rows = 0.4 * positive.sigmoid().log() + (1 - negative.sigmoid()).log().sum(-1)
    torch.testing.assert_close(loss, -rows.mean() / 7)


@pytest.mark.parametrize("name", ["adaptive", "popularity"])
def test_heads_whose_scores_are_not_logits_reject_gbce(name: str) -> None:
    head = HEADS[name](ITEMS, DIM)
    negatives = UniformNegatives(torch.tensor([1, 2]), 0.5)
    with pytest.raises(ValueError, match=f"{type(head).__name__} cannot be trained by gBCE"):
        head.gbce(torch.randn(2, DIM), torch.tensor([1, 2]), FullEmbedding(ITEMS, DIM), negatives)
