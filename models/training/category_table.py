"""The table of the first stage, when categories share vectors: an item is its own vector plus those of its categories.

Features of attributes, such as a brand, share vectors in the same way, and are called categories here. Items of a
category help each other, above all rare ones. The sum is one vector per item, from which the second stage
starts, so an artifact has no category vectors, and serving costs the same.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.batch import PADDING, SequenceBatch
from models.catalogue.categories import CategoryIndex
from models.embeddings.base import ItemEmbedding
from models.embeddings.full import FullEmbedding

MAX_CATEGORIES = 8
"""Most categories of an item that count, and most features of its attributes: the most common ones."""
MIN_ITEMS = 2
"""A category of fewer items shares nothing."""
DEVIATION = 0.01
"""Standard deviation of the initial category vectors, half of that of item vectors."""


class CategoryTable(ItemEmbedding):
    """`item_vectors` (num_items + 1, dim), `category_vectors` (categories + 1, dim); row 0 of both is padding.

    `members` (num_items + 1, MAX_CATEGORIES per index) has the categories of each item, and 0 for none.
    """

    def __init__(self, full: FullEmbedding, *indexes: CategoryIndex) -> None:
        """Take over the vectors of `full`."""
        super().__init__()
        self.num_items, self.dim = full.num_items, full.dim
        members = join_members([select_shared_categories(index) for index in indexes])
        self.item_vectors = full.vectors
        self.category_vectors = nn.Embedding(int(members.max(initial=0)) + 1, full.dim, padding_idx=PADDING)
        nn.init.normal_(self.category_vectors.weight, std=DEVIATION)
        with torch.no_grad():
            self.category_vectors.weight[PADDING] = 0
        self.members: Tensor
        self.register_buffer("members", torch.from_numpy(members), persistent=False)

    def forward(self, batch: SequenceBatch) -> Tensor:
        return self.table(batch.items)

    def table(self, rows: Tensor | None = None) -> Tensor:
        if rows is None:
            return self.item_vectors.weight + self._sum_categories(self.members)
        vectors: Tensor = self.item_vectors(rows)
        return vectors + self._sum_categories(self.members[rows])

    def scores(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.table())

    def merge(self) -> FullEmbedding:
        """Return a full table of the sums, which native code can read."""
        vectors = self.table().detach()
        full = FullEmbedding(self.num_items, self.dim).to(vectors.device)
        with torch.no_grad():
            full.vectors.weight.copy_(vectors)
        return full

    def _sum_categories(self, members: Tensor) -> Tensor:
        sums = F.embedding_bag(members.flatten(0, -2), self.category_vectors.weight, mode="sum", padding_idx=PADDING)
        return sums.view(*members.shape[:-1], self.dim)


def join_members(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Join the members of several indexes, with the numbers of each behind those of the one before."""
    last, joined = 0, []
    for part in parts:
        joined.append(np.where(part > 0, part + last, 0))
        last += int(part.max(initial=0))
    return np.concatenate(joined, axis=1)


def select_shared_categories(categories: CategoryIndex) -> NDArray[np.int64]:
    """Number the categories of at least MIN_ITEMS items from 1, common ones first: (num_items + 1, MAX_CATEGORIES)."""
    counts = np.bincount(categories.numbers, minlength=len(categories.names))
    order = np.argsort(-counts, kind="stable")
    number_of = np.zeros(len(counts), dtype=np.int64)
    number_of[order] = np.where(counts[order] >= MIN_ITEMS, np.arange(1, len(order) + 1), 0)
    items = np.repeat(np.arange(1, len(categories) + 1), np.diff(categories.ends, prepend=0))
    pairs = np.unique(np.stack((items, number_of[categories.numbers])), axis=1)  # by item, then common ones first
    items, numbers = pairs[:, pairs[1] > 0]
    places = np.arange(len(items)) - np.searchsorted(items, items)
    members = np.zeros((len(categories) + 1, MAX_CATEGORIES), dtype=np.int64)
    is_member = places < MAX_CATEGORIES
    members[items[is_member], places[is_member]] = numbers[is_member]
    return members
