"""LSAN's compressed embedding: an item is a mix of rows of a few small tables, and the context decides the mix.

LSAN (CIKM 2021), section 3.1. Two contexts of an item give two vectors of it. `table` has no context but the item's
own category, so the tables that read histories score candidates as well and the catalogue has no second table. The
paper's own output layer, one row per item, is the head `dense`.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.batch import PADDING, History, SequenceBatch
from models.catalogue.catalogue import Catalogue
from models.embeddings.base import ItemEmbedding
from models.layers.block import initialize_without_norms
from models.layers.category_lists import CategoryLists, sort_categories_by_use
from models.layers.context_injection import ContextInjection
from models.layers.mixed_radix import choose_two_bases, to_digits
from models.times import NO_HOUR, compute_hours


class CompositionalEmbedding(ItemEmbedding):
    """`bases` are the row counts m_1 … m_N; without them there are two tables, `fineness` · √num_items rows in one.

    `num_categories` and `max_categories` (of one item) come from the catalogue, where they are not given; categories
    beyond them, the rarest, are left out. With none of them the query of the composition is a learned constant.
    """

    reads_times = True
    starts: Tensor

    def __init__(
        self,
        num_items: int,
        dim: int,
        *,
        bases: Sequence[int] | None = None,
        fineness: int = 8,
        num_categories: int = 0,
        max_categories: int = 1,
    ) -> None:
        super().__init__()
        if fineness < 1:
            raise ValueError(f"fineness must be 1 or more, not {fineness}")
        self.bases = choose_two_bases(num_items, fineness) if bases is None else tuple(bases)
        if min(self.bases, default=0) < 1 or math.prod(self.bases) < num_items:
            raise ValueError(f"bases {list(self.bases)} do not tell {num_items} items apart")
        self.num_items, self.dim = num_items, dim
        starts = [0, *itertools.accumulate(self.bases)][:-1]
        self.register_buffer("starts", torch.tensor(starts), persistent=False)
        self.rows = nn.Embedding(sum(self.bases), dim)  # Ẽ_1 … Ẽ_N, one under the other
        self.categories = CategoryLists(num_items, num_categories, max_categories)
        self.previous = nn.Embedding(self.categories.num_rows, dim, padding_idx=0)
        self.current = nn.Embedding(self.categories.num_rows, dim, padding_idx=0)
        self.hours = nn.Embedding(NO_HOUR + 1, dim)
        self.key = nn.Linear(dim, dim, bias=False)  # W_a
        self.injection = ContextInjection(dim)
        self._kept_weights: Tensor | None = None

    @classmethod
    def complete_options(cls, catalogue: Catalogue, options: Mapping[str, Any]) -> Mapping[str, Any]:
        longest = max(len(set(names)) for names in catalogue.categories)
        sizes = {"num_categories": len(sort_categories_by_use(catalogue)), "max_categories": max(1, longest)}
        return {**sizes, **options}

    def fit(self, catalogue: Catalogue, histories: Sequence[History]) -> None:  # noqa: ARG002
        self.categories.fill(catalogue)

    def reset_special(self) -> None:
        """At the start h_i, the mean of N rows, and r_i, the sum of three, are as large as vectors of a full table."""
        initialize_without_norms(self.key)
        self.injection.reset_special()
        with torch.no_grad():
            self.rows.weight.mul_(len(self.bases) ** 0.5)
            for contexts in (self.previous, self.current, self.hours):
                contexts.weight.mul_(3**-0.5)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """(B, T) items → (B, T, dim): h̃_i = MLP([h_i ; r_i]), LSAN (CIKM 2021), section 3.1."""
        context = self.compute_context(batch)
        composed = self.compose(batch.items, self.compute_weights(batch.items, context))
        injected: Tensor = self.injection(composed, context)
        return injected.masked_fill((batch.items == PADDING)[..., None], 0.0)

    def compute_context(self, batch: SequenceBatch) -> Tensor:
        """(B, T, dim), r_i of section 3.1: the category before, the category here and the hour, one vector of each."""
        before = F.pad(batch.items[:, :-1], (1, 0), value=PADDING)  # padding stands for "no previous"
        hours = torch.full_like(batch.items, NO_HOUR) if batch.times is None else compute_hours(batch.times)
        vectors: Tensor = self.hours(hours)
        return (
            vectors
            + self.categories.average_vectors(before, self.previous.weight)
            + self.categories.average_vectors(batch.items, self.current.weight)
        )

    def compute_weights(self, items: Tensor, context: Tensor) -> Tensor:
        """(…,) items with (…, dim) contexts → (…, N): α_n = softmax over n of r_iᵀ SiLU(W_a ẽ_i^n), section 3.1.

        SiLU(W_a ẽ) is computed once per row of the tables, not once per item.
        """
        keys = F.silu(self.key(self.rows.weight))
        agreement: Tensor = F.embedding(self.locate_rows(items), keys) @ context[..., None]
        return agreement.squeeze(-1).softmax(-1)

    def compose(self, items: Tensor, weights: Tensor) -> Tensor:
        """(…,) items with (…, N) weights → (…, dim): h_i = Σ_n α_n ẽ_i^n, section 3.1."""
        places, tables = self.locate_rows(items).flatten(0, -2), self.rows.weight
        flat = weights.flatten(0, -2).to(tables.dtype)
        mixed: Tensor = F.embedding_bag(places, tables, mode="sum", per_sample_weights=flat)
        return mixed.view(*items.shape, -1)

    def locate_rows(self, items: Tensor) -> Tensor:
        """(…,) items → (…, N): where ẽ_i^1 … ẽ_i^N stand in `rows`; padding gets places too, which mean nothing."""
        index = (items - 1).clamp_min(0)
        return to_digits(index, self.bases) + self.starts

    def compute_candidate_weights(self, items: Tensor) -> Tensor:
        """(R,) items → (R, N): α_n by the item's own category alone, 0 for padding."""
        weights = self.compute_weights(items, self.categories.average_vectors(items, self.current.weight))
        return weights.masked_fill((items == PADDING)[:, None], 0.0)

    def table(self, rows: Tensor | None = None) -> Tensor:
        items = self._everything() if rows is None else rows
        return self.compose(items, self.compute_candidate_weights(items))

    def scores(self, hidden: Tensor) -> Tensor:
        """Σ_n w_n(i) ⟨x, ẽ_i^n⟩: Σ m_n products, and N gathered numbers per item instead of one more product each."""
        places, weights = self.locate_rows(self._everything()), self._weights_of_everything()
        products = F.linear(hidden, self.rows.weight)
        parts = (products[..., places[:, n]] * weights[:, n] for n in range(len(self.bases)))
        return torch.stack(tuple(parts)).sum(0)

    def train(self, mode: bool = True) -> Self:
        """Weights may have changed since they were last read, whichever way the mode goes."""
        self._kept_weights = None
        return super().train(mode)

    def _weights_of_everything(self) -> Tensor:
        """Kept between answers in evaluation, N numbers per item: they are most of what scoring a catalogue costs."""
        if self.training or torch.is_grad_enabled():
            return self.compute_candidate_weights(self._everything())
        if self._kept_weights is None:
            self._kept_weights = self.compute_candidate_weights(self._everything())
        return self._kept_weights

    def _everything(self) -> Tensor:
        return torch.arange(self.num_items + 1, device=self.rows.weight.device)
