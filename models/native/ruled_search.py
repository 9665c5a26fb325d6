"""Searches of a batch under boosts and limits in native code, over a catalogue in blocks and the items behind it."""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.native.answer_rules import AnswerRules, NativeAnswers
from models.native.block_scanner import BlockScanner
from models.native.layout import Queries, RuledBatch
from models.native.reranker import Reranker, lay_out_newest
from models.native.scan_request import Indices, Mask, concatenate_sorted, lay_out_masks

Floats = NDArray[np.float32]
NUM_SEARCHES = 4
"""Searches of a query in one call."""
GROWTH = 8
"""By how much the last of them is deeper."""


class SearchedBatch(NamedTuple):
    """One batch to search: per query its history, its hidden vector and its products with all centroids.

    `excluded` and `allow_masks` are over all items, those behind the catalogue included, whose scores are `new_scores`.
    """

    histories: Sequence[Indices]
    hidden: Floats
    lookup_tables: Floats
    new_scores: Floats
    excluded: Sequence[Indices]
    allow_masks: Sequence[Mask | None]


class RuledSearch:
    """The searches of one batch; `pools` (B, depth) has the best items of the last search of each query."""

    def __init__(self, scanner: BlockScanner, reranker: Reranker | None, batch: SearchedBatch, depth: int) -> None:
        """Raise ValueError for masks of another size; `depth` is at least 1 and at most the size of the catalogue."""
        self._scanner = scanner
        self._memory = None if reranker is None else reranker.memory
        count, num_new = batch.new_scores.shape
        self.num_items = scanner.num_items + num_new
        tables = np.ascontiguousarray(batch.lookup_tables, dtype=np.float32)
        hidden = np.ascontiguousarray(batch.hidden, dtype=np.float32)
        new_scores = np.ascontiguousarray(batch.new_scores, dtype=np.float32)
        newest = lay_out_newest(batch.histories)
        lengths = np.array([len(history) for history in batch.histories], dtype=np.int64)
        masks, mask_addresses = lay_out_masks(batch.allow_masks, count, self.num_items)
        excluded, excluded_starts = concatenate_sorted(batch.excluded, count)
        last_depth = min(GROWTH * depth, scanner.num_items)
        self.pools = np.zeros((count, last_depth), dtype=np.int64)
        self._arrays = (tables, hidden, new_scores, newest, lengths, masks, mask_addresses, excluded, excluded_starts)
        queries = Queries(
            lookup_tables=tables.ctypes.data,
            excluded=excluded.ctypes.data,
            excluded_starts=excluded_starts.ctypes.data,
            allow_masks=ctypes.addressof(mask_addresses),
            count=count,
            k=last_depth,
        )
        self._batch = RuledBatch(
            queries=queries,
            newest=newest.ctypes.data,
            lengths=lengths.ctypes.data,
            hidden=hidden.ctypes.data,
            new_scores=new_scores.ctypes.data,
            pools=self.pools.ctypes.data,
            num_new=num_new,
            table_size=tables.shape[1],
            depth=depth,
            num_searches=NUM_SEARCHES,
        )

    def fill(self, rules: Sequence[AnswerRules], answers: NativeAnswers) -> None:
        """Search for the answers that are not whole, and fill them as far as `rules`, those of each query, allow."""
        addresses = (ctypes.c_void_p * len(rules))(*(rule.address for rule in rules))
        self._scanner.rank(self._memory, self._batch, addresses, answers.layout)
