"""Memory through which batches of one bucket reach the device: always the same, so that a graph may hold its address.

Items, times and lengths lie in one piece, pinned where the device is a GPU, and go over in one copy. It knows no model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.batch import PADDING, History, SequenceBatch, Times, pad_right
from models.runners.buckets import Bucket


class Staging:
    """`batch` is on the device; its rows behind those that were filled are one item of padding each."""

    def __init__(self, bucket: Bucket, device: torch.device, *, with_times: bool) -> None:
        self._bucket = bucket
        cells = bucket.rows * bucket.length
        size = cells * (1 + with_times) + bucket.rows
        is_cuda = device.type == "cuda"
        self._host = torch.zeros(size, dtype=torch.int64, pin_memory=is_cuda)
        self._device = torch.zeros(size, dtype=torch.int64, device=device)
        self._sent = torch.cuda.Event() if is_cuda else None
        self._written = self._views(self._host)
        self.batch = self._views(self._device)
        self.fill([], None)

    def fill(self, histories: Sequence[History], times: Sequence[Times] | None) -> int:
        """Send these, padded to the bucket; how many items they have. ValueError as for `pad_right`.

        It returns before the copy has ended, and waits for the copy before.
        """
        if self._sent is not None:
            self._sent.synchronize()
        self._host.fill_(PADDING)  # which is no time either
        self._written.lengths.fill_(1)
        count = 0
        if len(histories):
            given = pad_right(histories, self._bucket.length, times)
            rows, length = given.items.shape
            self._written.items[:rows, :length] = given.items
            self._written.lengths[:rows] = given.lengths
            if self._written.times is not None and given.times is not None:
                self._written.times[:rows, :length] = given.times
            count = int(given.lengths.sum())
        self._device.copy_(self._host, non_blocking=True)
        if self._sent is not None:
            self._sent.record()
        return count

    def _views(self, memory: Tensor) -> SequenceBatch:
        rows, length = self._bucket.rows, self._bucket.length
        *cells, lengths = memory.split([rows * length] * (len(memory) // (rows * length)) + [rows])
        items, *times = (part.view(rows, length) for part in cells)
        return SequenceBatch(items, lengths, times[0] if times else None)
