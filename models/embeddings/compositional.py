"""LSAN's compositional embedding: an item is a weighted sum of rows of a few base tables, weighted by its context.

LSAN (CIKM 2021), section 3.1. An item has a different vector in every context. `table` uses only the item's category
as context, so the base tables also score candidates and the catalogue needs no second table. The paper's own output
layer, one row per item, is the head `dense`.

In the paper the rows of an item are the digits of its index, so items that have nothing in common share rows. That
costs half the accuracy once the composed vectors score the candidates too (models/LOG.md). The assignment `trained`
selects the rows whose sum is closest to the item's vector in a full table, which is trained first.
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
from models.embeddings.additive_codes import fit_additive_codes
from models.embeddings.assignment import compute_digits
from models.embeddings.base import ItemEmbedding
from models.layers.block import initialize_without_norms
from models.layers.category_lists import CategoryLists, sort_categories_by_use
from models.layers.context_injection import ContextInjection
from models.layers.mixed_radix import choose_two_bases, to_digits
from models.times import NO_HOUR, compute_hours

DIGITS, TRAINED = "digits", "trained"
ASSIGNMENTS = (DIGITS, TRAINED)
ITEMS_PER_ROW = 10
LANES = 8
MIN_ROWS, MAX_ROWS = 4, 256
"""Most rows of a base table whose rows are assigned: a byte per item and table."""


class CompositionalEmbedding(ItemEmbedding):
    """`assignment` selects the rows of an item: `digits` of its index, or the `trained` ones of a full table.

    `bases` are the row counts m_1 … m_N of `digits`; by default two tables, one of them with `fineness` · √num_items
    rows. `trained` has `tables` tables of `base_rows` rows; by default all of them have a tenth of `num_items`
    rows. `codes` (num_items + 1, tables) holds the row of each item in each table.

    `num_categories` and `max_categories` (of one item) default to those of the catalogue; the rarest categories beyond
    them are ignored. Without categories the query of the composition is a learned constant. `context_dim` is the width
    of contexts and keys, dim by default.
    """

    reads_times = True
    starts: Tensor
    codes: Tensor

    def __init__(
        self,
        num_items: int,
        dim: int,
        *,
        bases: Sequence[int] | None = None,
        fineness: int = 8,
        num_categories: int = 0,
        max_categories: int = 1,
        assignment: str = DIGITS,
        tables: int = 20,
        base_rows: int | None = None,
        context_dim: int | None = None,
    ) -> None:
        super().__init__()
        if fineness < 1:
            raise ValueError(f"fineness must be at least 1 (got {fineness})")
        if assignment not in ASSIGNMENTS:
            raise ValueError(f"assignment must be one of {', '.join(ASSIGNMENTS)} (got {assignment!r})")
        self.num_items, self.dim = num_items, dim
        self.starts_from_full_table = assignment == TRAINED
        if self.starts_from_full_table:
            self.bases = choose_equal_bases(num_items, tables, base_rows)
            self.register_buffer("codes", torch.zeros(num_items + 1, tables, dtype=torch.uint8))
        else:
            self.bases = choose_two_bases(num_items, fineness) if bases is None else tuple(bases)
            if min(self.bases, default=0) < 1 or math.prod(self.bases) < num_items:
                raise ValueError(f"bases must have a product of at least {num_items} items (got {list(self.bases)})")
        starts = [0, *itertools.accumulate(self.bases)][:-1]
        self.register_buffer("starts", torch.tensor(starts), persistent=False)
        self.rows = nn.Embedding(sum(self.bases), dim)  # Ẽ_1 … Ẽ_N, concatenated
        self.categories = CategoryLists(num_items, num_categories, max_categories)
        context_dim = dim if context_dim is None else context_dim
        self.previous = nn.Embedding(self.categories.num_rows, context_dim, padding_idx=0)
        self.current = nn.Embedding(self.categories.num_rows, context_dim, padding_idx=0)
        self.hours = nn.Embedding(NO_HOUR + 1, context_dim)
        self.key = nn.Linear(dim, context_dim, bias=False)  # W_a
        self.injection = ContextInjection(dim, context_dim, residual=self.starts_from_full_table)
        self._cached_weights: Tensor | None = None

    @classmethod
    def complete_options(cls, catalogue: Catalogue, options: Mapping[str, Any]) -> Mapping[str, Any]:
        max_categories = max(len(set(names)) for names in catalogue.categories)
        sizes = {"num_categories": len(sort_categories_by_use(catalogue)), "max_categories": max(1, max_categories)}
        return {**sizes, **options}

    def fit(self, catalogue: Catalogue, histories: Sequence[History]) -> None:  # noqa: ARG002
        self.categories.fill(catalogue)

    def reset_special(self) -> None:
        """Give h_i, a mean of N rows, and r_i, a sum of three, the initial scale of a full table.

        With assigned rows h_i is a sum of N rows, until `approximate` replaces the rows.
        """
        initialize_without_norms(self.key)
        self.injection.reset_special()
        with torch.no_grad():
            if self.starts_from_full_table:
                digits = compute_digits(torch.arange(self.num_items), self.num_items, len(self.bases), self.bases[0])
                self.codes[1:] = digits.to(torch.uint8)
            self.rows.weight.mul_(len(self.bases) ** (-0.5 if self.starts_from_full_table else 0.5))
            for contexts in (self.previous, self.current, self.hours):
                contexts.weight.mul_(3**-0.5)

    def approximate(self, vectors: Tensor, catalogue: Catalogue) -> None:
        # Popular items get smaller errors; the square root leaves rare items some weight.
        weights = torch.from_numpy(catalogue.counts).float().clamp_min(1).sqrt()
        codes, rows = fit_additive_codes(vectors[1:].detach(), weights, len(self.bases), self.bases[0])
        self.codes[1:] = codes.to(torch.uint8)
        with torch.no_grad():
            self.rows.weight.copy_(rows)

    def check_buffers(self) -> None:
        """ValueError for a code without a row in its base table."""
        if self.starts_from_full_table and (highest := int(self.codes.max())) >= self.bases[0]:
            raise ValueError(f"codes holds row {highest} of base tables with {self.bases[0]} rows")

    def forward(self, batch: SequenceBatch) -> Tensor:
        """(B, T) items → (B, T, dim): h̃_i = MLP([h_i ; r_i]), LSAN (CIKM 2021), section 3.1."""
        context = self.compute_context(batch)
        composed = self.compose(batch.items, self.compute_weights(batch.items, context))
        injected: Tensor = self.injection(composed, context)
        return injected.masked_fill((batch.items == PADDING)[..., None], 0.0)

    def compute_context(self, batch: SequenceBatch) -> Tensor:
        """r_i of section 3.1, (B, T, context_dim): the sum of vectors of previous category, category and hour."""
        before = F.pad(batch.items[:, :-1], (1, 0), value=PADDING)  # padding means "no previous item"
        hours = torch.full_like(batch.items, NO_HOUR) if batch.times is None else compute_hours(batch.times)
        vectors: Tensor = self.hours(hours)
        return (
            vectors
            + self.categories.average_vectors(before, self.previous.weight)
            + self.categories.average_vectors(batch.items, self.current.weight)
        )

    def compute_weights(self, items: Tensor, context: Tensor) -> Tensor:
        """(…,) items, (…, context_dim) contexts → (…, N): α_n = softmax over n of r_iᵀ SiLU(W_a ẽ_i^n), section 3.1.

        SiLU(W_a ẽ) is computed once per table row, not once per item. With assigned rows the result is N · α_n, so that
        equal weights compose the sum that was fitted.
        """
        keys = F.silu(self.key(self.rows.weight))
        agreement: Tensor = F.embedding(self.locate_rows(items), keys) @ context[..., None]
        shares = agreement.squeeze(-1).softmax(-1)
        return shares * len(self.bases) if self.starts_from_full_table else shares

    def compose(self, items: Tensor, weights: Tensor) -> Tensor:
        """(…,) items with (…, N) weights → (…, dim): h_i = Σ_n α_n ẽ_i^n, section 3.1."""
        indices, tables = self.locate_rows(items).flatten(0, -2), self.rows.weight
        flat = weights.flatten(0, -2).to(tables.dtype)
        composed: Tensor = F.embedding_bag(indices, tables, mode="sum", per_sample_weights=flat)
        return composed.view(*items.shape, -1)

    def locate_rows(self, items: Tensor) -> Tensor:
        """(…,) items → (…, N): indices of ẽ_i^1 … ẽ_i^N in `rows`; those of padding are meaningless."""
        if self.starts_from_full_table:
            return self.codes[items].long() + self.starts
        index = (items - 1).clamp_min(0)
        return to_digits(index, self.bases) + self.starts

    def compute_candidate_weights(self, items: Tensor) -> Tensor:
        """(R,) items → (R, N): α_n with only the item's category as context; 0 for padding."""
        weights = self.compute_weights(items, self.categories.average_vectors(items, self.current.weight))
        return weights.masked_fill((items == PADDING)[:, None], 0.0)

    def table(self, rows: Tensor | None = None) -> Tensor:
        items = self._list_items() if rows is None else rows
        return self.compose(items, self.compute_candidate_weights(items))

    def scores(self, hidden: Tensor) -> Tensor:
        """Σ_n w_n(i) ⟨x, ẽ_i^n⟩: Σ m_n dot products, then N gathered numbers per item instead of a dot product each."""
        indices, weights = self.locate_rows(self._list_items()), self._get_table_weights()
        flat = hidden.reshape(-1, self.dim)
        # Sums of rows of fewer than eight numbers are slower than of rows of eight.
        products = F.pad(F.linear(self.rows.weight, flat), (0, max(0, LANES - len(flat))))
        sums = F.embedding_bag(indices, products, mode="sum", per_sample_weights=weights.to(products.dtype))
        return sums[:, : len(flat)].T.unflatten(0, hidden.shape[:-1]) if hidden.ndim > 1 else sums[:, 0]

    def train(self, mode: bool = True) -> Self:
        """Switch the mode and drop the cached weights, which may be outdated after any switch."""
        self._cached_weights = None
        return super().train(mode)

    def _get_table_weights(self) -> Tensor:
        """The candidate weights of all items; cached in evaluation, where they are most of the cost of scoring."""
        if self.training or torch.is_grad_enabled():
            return self.compute_candidate_weights(self._list_items())
        if self._cached_weights is None:
            self._cached_weights = self.compute_candidate_weights(self._list_items())
        return self._cached_weights

    def _list_items(self) -> Tensor:
        return torch.arange(self.num_items + 1, device=self.rows.weight.device)


def choose_equal_bases(num_items: int, tables: int, base_rows: int | None) -> tuple[int, ...]:
    """Choose the same number of rows for each of `tables`; by default together a tenth of the items."""
    if tables < 1:
        raise ValueError(f"tables must be at least 1 (got {tables})")
    rows = min(max(num_items // (ITEMS_PER_ROW * tables), MIN_ROWS), MAX_ROWS) if base_rows is None else base_rows
    if not 1 <= rows <= MAX_ROWS:
        raise ValueError(f"base_rows must be from 1 to {MAX_ROWS} (got {rows})")
    return (rows,) * tables
