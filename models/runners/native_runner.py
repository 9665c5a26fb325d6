"""Runs a model with the native library. Histories stay ragged: no padding cell is computed."""

from collections.abc import Sequence

import numpy as np
import torch

from models.batch import History, Times
from models.native.library import Library, allocate_aligned
from models.recommender import SequentialRecommender
from models.runners.base import Encoded, Runner
from models.runners.packed_model import PackedModel


class NativeRunner(Runner):
    """`level` is an index into the library's `levels`, 0 the fastest."""

    def __init__(self, model: SequentialRecommender, library: Library, level: int = 0) -> None:
        """Raise ValueError for a model that the library does not support."""
        self.name = f"native ({library.levels[level]})"
        self._library, self._level = library, level
        self._model = PackedModel(model)
        self._floats_per_thread = library.get_workspace(self._model.native, level)
        self._workspace = allocate_aligned(self._floats_per_thread)

    def encode(
        self,
        histories: Sequence[History],
        times: Sequence[Times] | None = None,
        request_times: Times | None = None,
    ) -> Encoded:
        if not histories:
            raise ValueError("no histories; pass at least one")
        lengths = [len(history) for history in histories]
        if times is not None and [len(history_times) for history_times in times] != lengths:
            raise ValueError("times must have one value for each event of a history")
        if request_times is not None and len(request_times) != len(histories):
            raise ValueError("request_times must have one value for each history")
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        seconds = None if times is None else np.concatenate(times, dtype=np.uint32, casting="same_kind")
        requests = None if request_times is None else np.ascontiguousarray(request_times, dtype=np.uint32)
        items = np.concatenate(histories, dtype=np.int64)
        threads = min(torch.get_num_threads(), len(histories))
        if len(self._workspace) < threads * self._floats_per_thread:
            self._workspace = allocate_aligned(threads * self._floats_per_thread)
        hidden = self._library.encode(
            self._model.native, self._level, items, seconds, requests, offsets, self._workspace, threads
        )
        return Encoded(torch.from_numpy(hidden), 0.0)
