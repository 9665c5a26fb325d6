"""The native library as a runner. Histories stay ragged: no cell is computed that holds no item."""

from collections.abc import Sequence

import numpy as np
import torch

from models.batch import History, Times
from models.native.library import Library, aligned
from models.recommender import SequentialRecommender
from models.runners.base import Encoded, Runner
from models.runners.packed_model import PackedModel


class NativeRunner(Runner):
    """`level` is a place in the library's `levels`, 0 the fastest."""

    def __init__(self, model: SequentialRecommender, library: Library, level: int = 0) -> None:
        """ValueError for a model that the library does not know."""
        self.name = f"native ({library.levels[level]})"
        self._library, self._level = library, level
        self._model = PackedModel(model)
        self._per_thread = library.workspace(self._model.native, level)
        self._work = aligned(self._per_thread)

    def encode(self, histories: Sequence[History], times: Sequence[Times] | None = None) -> Encoded:
        if not histories:
            raise ValueError("no history was given")
        lengths = [len(history) for history in histories]
        if times is not None and [len(one) for one in times] != lengths:
            raise ValueError("times are one for each event of a history")
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        seconds = None if times is None else np.concatenate(times, dtype=np.uint32, casting="same_kind")
        items = np.concatenate(histories, dtype=np.int64)
        threads = min(torch.get_num_threads(), len(histories))
        if len(self._work) < threads * self._per_thread:
            self._work = aligned(threads * self._per_thread)
        found = self._library.encode(self._model.native, self._level, items, seconds, offsets, self._work, threads)
        return Encoded(torch.from_numpy(found), 0.0)
