"""Runs any model on a GPU, replaying the recording that was made for the bucket of the batch.

A small transformer is a hundred launches of microseconds each, which a CUDA graph turns into one. One stream is used:
an engine has one batch in flight while it gathers the next, and two encoders would compete for multiprocessors.
Only staging and the capture depend on the device: with `Eager` everything here runs on a CPU too.
"""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from models.batch import History, SequenceBatch, Times
from models.encoders.base import SequenceEncoder
from models.oom_batching import AdaptiveBatchSize
from models.recommender import SequentialRecommender
from models.runners.base import Encoded, Runner
from models.runners.buckets import Bucket, choose_bucket, choose_length
from models.runners.captures import Capture, Computation, CudaGraphs
from models.runners.lru_cache import LruCache
from models.runners.staging import StagingBuffer

MAX_BUCKETS = 64
"""Buckets that stay prepared, each with some megabytes of buffers and launches."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedBucket:
    """`computation` reads `staging` and returns the (rows, dim) hidden vectors of all its rows."""

    staging: StagingBuffer
    computation: Computation


class CudaRunner(Runner):
    """With `dtype` bfloat16, encoder weights are a bf16 copy that accumulates in float32; the item table is unchanged.

    A bucket that cannot be recorded runs eagerly from then on. One that does not fit in memory is not retried: its
    batches are split, and so are larger batches of the same length.
    """

    def __init__(
        self,
        model: SequentialRecommender,
        device: torch.device,
        *,
        dtype: torch.dtype = torch.float32,
        capture: Capture | None = None,
        max_buckets: int = MAX_BUCKETS,
    ) -> None:
        self._model = model.to(device).eval()
        self._encoder = model.encoder if dtype == torch.float32 else _copy_with_dtype(model.encoder, dtype)
        self._device, self._dtype = device, dtype
        self._capture = CudaGraphs(device) if capture is None else capture
        self.name = f"torch with {self._capture.name}, {str(dtype).removeprefix('torch.')}"
        self._prepared: LruCache[Bucket, PreparedBucket] = LruCache(max_buckets)
        self._unrecordable: set[Bucket] = set()
        self._batch_sizes: dict[int, AdaptiveBatchSize] = {}  # by length of the bucket

    @torch.inference_mode()
    def encode(
        self,
        histories: Sequence[History],
        times: Sequence[Times] | None = None,
        request_times: Times | None = None,
    ) -> Encoded:
        if not histories:
            raise ValueError("no histories; pass at least one")
        length = choose_length(max(map(len, histories)), self._model.config.max_len)
        parts = self._batch_sizes.setdefault(length, AdaptiveBatchSize()).run(
            len(histories),
            lambda rows: self._encode_part(
                histories[rows],
                None if times is None else times[rows],
                None if request_times is None else request_times[rows],
            ),
        )
        items, cells = sum(part[1] for part in parts), sum(part[2] for part in parts)
        return Encoded(torch.cat([part[0] for part in parts]), 1.0 - items / cells)

    def _encode_part(
        self, histories: Sequence[History], times: Sequence[Times] | None, request_times: Times | None
    ) -> tuple[Tensor, int, int]:
        """Return hidden vectors, the number of items, and the number of cells computed for them."""
        bucket = choose_bucket(len(histories), max(map(len, histories)), self._model.config.max_len)
        try:
            prepared = self._prepared.get(bucket, lambda: self._prepare(bucket))
            items = prepared.staging.fill(histories, times, request_times)
            hidden = prepared.computation()[: len(histories)].to(torch.float32, copy=True)
        except torch.OutOfMemoryError:
            self._prepared.clear()  # releases the memory of graphs before a smaller part is tried
            raise
        return hidden, items, bucket.rows * bucket.length

    def _prepare(self, bucket: Bucket) -> PreparedBucket:
        staging = StagingBuffer(
            bucket,
            self._device,
            with_times=self._model.reads_times,
            with_request_times=self._model.reads_request_times,
        )
        # Must not refer to this runner, which would then hold itself through its cache.
        computation = partial(_encode_last, self._model, self._encoder, self._dtype, staging.batch)
        if bucket in self._unrecordable:
            return PreparedBucket(staging, computation)
        try:
            return PreparedBucket(staging, self._capture(computation))
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                self._prepared.clear()
            self._unrecordable.add(bucket)
            log.warning("batches of %d × %d run without a recording: %s", bucket.rows, bucket.length, error)
            return PreparedBucket(staging, computation)


def _encode_last(
    model: SequentialRecommender, encoder: SequenceEncoder, dtype: torch.dtype, batch: SequenceBatch
) -> Tensor:
    return encoder.forward_last(model.embed(batch).to(dtype), batch.lengths)


def _copy_with_dtype(encoder: SequenceEncoder, dtype: torch.dtype) -> SequenceEncoder:
    """Copy an encoder and convert its weights; buffers, such as rotary angles, keep their precision."""
    copied = copy.deepcopy(encoder)
    for parameter in copied.parameters():
        parameter.data = parameter.data.to(dtype)
    return copied
