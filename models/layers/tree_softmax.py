"""Two-level tree softmax of CpRec: first popular items and one token per tail, then the items of one tail.

CpRec (arXiv 2004.13139), section on block-wise adaptive decomposition of the softmax layer. The symbols W^1, A^j, B^j,
d_j and k_j are the paper's; the equations:

    block 1:  p(x) = softmax(h W^1)[x]
    tail j:   p(x) = softmax(h W^1)[token of j] · softmax((h A^j) B^j)[x − k_{j−1}]

so the probabilities of all items sum to 1. There are no biases. Classes of the first level are the k_1 items of block
1, then the n − 1 tokens of the blocks 2 … n. Items are counted from 1 in the interface and from 0 within blocks.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.candidate_cross_entropy import MAX_CELLS, candidate_cross_entropy
from models.layers.item_blocks import compute_block_ends, compute_block_ranks, compute_block_sizes


class TreeSoftmax(nn.Module):
    """W^1 is stored as (k_1 + n − 1, dim), A^j as (d_j, dim) and B^j as (k_j − k_{j−1}, d_j): one row per output."""

    starts: Tensor

    def __init__(self, num_items: int, dim: int, cuts: Sequence[int] | None, factor: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.ends = compute_block_ends(num_items, cuts)
        ranks = compute_block_ranks(dim, len(self.ends), factor)[1:]
        sizes = compute_block_sizes(self.ends)[1:]
        self.first = nn.Linear(dim, self.ends[0] + len(sizes), bias=False)
        # A^j preserves the scale of h, so that a tail's logits are not the product of two small initial values.
        self.narrow = nn.ParameterList(nn.Parameter(torch.randn(rank, dim) * dim**-0.5) for rank in ranks)
        self.tails = nn.ModuleList(nn.Linear(*shape, bias=False) for shape in zip(ranks, sizes, strict=True))
        self.register_buffer("starts", torch.tensor(self.ends[:-1], dtype=torch.int64), persistent=False)

    def compute_first_level(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(…, dim) → log-probabilities (…, k_1) of the items of block 1 and (…, n − 1) of the tokens."""
        items, tokens = self.first(hidden).log_softmax(-1).tensor_split([self.ends[0]], dim=-1)
        return items, tokens

    def compute_tail(self, hidden: Tensor, tail: int) -> Tensor:
        """(…, dim) → (…, size): log-probabilities of a tail's items, conditional on the tail; tail 0 is block 2."""
        logits: Tensor = self.tails[tail](F.linear(hidden, self.narrow[tail]))
        return logits.log_softmax(-1)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, num_items): log-probabilities of all items in catalogue order."""
        items, tokens = self.compute_first_level(hidden)
        tails = (tokens[..., j, None] + self.compute_tail(hidden, j) for j in range(len(self.tails)))
        return torch.cat((items, *tails), dim=-1)

    def cross_entropy(
        self, hidden: Tensor, targets: Tensor, max_cells: int = MAX_CELLS, weights: Tensor | None = None
    ) -> Tensor:
        """Mean, weighted by (N,) `weights`, of −log p over (N, dim) positions with (N,) targets, 1 to num_items.

        First level: the label of a target in a tail is the tail's token. Second level: only the positions whose
        target is in tail j are multiplied with A^j and B^j. No tensor of scores has more than `max_cells` cells.
        """
        head = self.ends[0]
        block = (targets[:, None] > self.starts).sum(-1)  # 0 is the first
        labels = torch.where(block == 0, targets - 1, head - 1 + block)
        loss = self._compute_part(hidden, self.first.weight, labels, max_cells, weights)
        for j, start in enumerate(self.ends[:-1]):
            inside = (block == j + 1).nonzero().squeeze(-1)
            if len(inside):
                narrow = F.linear(hidden[inside], self.narrow[j])
                tail_loss = self._compute_part(
                    narrow,
                    self.tails[j].get_parameter("weight"),
                    targets[inside] - start - 1,
                    max_cells,
                    None if weights is None else weights[inside],
                )
                loss = loss + tail_loss * _compute_share(inside, targets, weights)
        return loss

    def _compute_part(
        self, hidden: Tensor, weight: Tensor, labels: Tensor, max_cells: int, weights: Tensor | None
    ) -> Tensor:
        return candidate_cross_entropy(
            hidden,
            weight,
            F.embedding(labels, weight),
            collisions=labels,
            token_weights=weights,
            max_cells=max_cells,
        )


def _compute_share(inside: Tensor, targets: Tensor, weights: Tensor | None) -> float:
    """Share of the positions `inside` in the mean over all targets."""
    return len(inside) / len(targets) if weights is None else float(weights[inside].sum() / weights.sum())
