"""Fixed host and device memory for the batches of one bucket, as CUDA graphs need fixed addresses.

Items, lengths and times share one tensor, pinned where the device is a GPU, and reach the device in one copy.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.batch import PADDING, History, SequenceBatch, Times, pad_right
from models.runners.buckets import Bucket


class StagingBuffer:
    """`batch` is on the device; its rows past the filled ones hold one padding item each."""

    def __init__(
        self, bucket: Bucket, device: torch.device, *, with_times: bool, with_request_times: bool = False
    ) -> None:
        self._bucket = bucket
        cells = bucket.rows * bucket.length
        self._sizes = (cells, bucket.rows, cells * with_times, bucket.rows * with_request_times)
        size = sum(self._sizes)
        is_cuda = device.type == "cuda"
        self._host = torch.zeros(size, dtype=torch.int64, pin_memory=is_cuda)
        self._device = torch.zeros(size, dtype=torch.int64, device=device)
        self._copy_event = torch.cuda.Event() if is_cuda else None
        self._host_batch = self._view_batch(self._host)
        self.batch = self._view_batch(self._device)
        self.fill([], None, None)

    def fill(self, histories: Sequence[History], times: Sequence[Times] | None, request_times: Times | None) -> int:
        """Copy the histories to the device, padded to the bucket, and return their number of items.

        Starts the copy and returns; the next call waits for it. Raises ValueError as `pad_right` does.
        """
        if self._copy_event is not None:
            self._copy_event.synchronize()
        self._host.fill_(PADDING)  # 0 is also "no time"
        self._host_batch.lengths.fill_(1)
        count = 0
        if len(histories):
            padded = pad_right(histories, self._bucket.length, times, request_times)
            rows, length = padded.items.shape
            self._host_batch.items[:rows, :length] = padded.items
            self._host_batch.lengths[:rows] = padded.lengths
            if self._host_batch.times is not None and padded.times is not None:
                self._host_batch.times[:rows, :length] = padded.times
            if self._host_batch.request_times is not None and padded.request_times is not None:
                self._host_batch.request_times[:rows] = padded.request_times
            count = int(padded.lengths.sum())
        self._device.copy_(self._host, non_blocking=True)
        if self._copy_event is not None:
            self._copy_event.record()
        return count

    def _view_batch(self, memory: Tensor) -> SequenceBatch:
        shape = self._bucket.rows, self._bucket.length
        items, lengths, times, request_times = memory.split(self._sizes)
        return SequenceBatch(
            items.view(shape),
            lengths,
            times.view(shape) if len(times) else None,
            request_times if len(request_times) else None,
        )
