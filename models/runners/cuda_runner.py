"""Any model on a GPU, batch by batch through what was recorded for the bucket that the batch falls into.

A small transformer is a hundred launches of microseconds each, which a graph makes one. One stream: an engine has one
batch in flight, gathers the next meanwhile, and two encoders side by side would wait for the same multiprocessors.
Which device it is, only staging and the capture know: with `Eager` everything here runs on a CPU too.
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
from models.runners.buckets import Bucket, bucket_of, length_of
from models.runners.captures import Capture, CudaGraphs, Work
from models.runners.last_used import LastUsed
from models.runners.staging import Staging

MOST_GRAPHS = 64
"""Buckets that stay prepared, each with some megabytes of buffers and launches."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """`work` reads `staging` and gives the (rows, dim) hidden vectors of all its rows."""

    staging: Staging
    work: Work


class CudaRunner(Runner):
    """With `dtype` bfloat16 the encoder's weights are a copy in bf16 and its sums float32; the table of items stays.

    A bucket that cannot be recorded runs as it is from then on. One that does not fit into memory is not tried again:
    its batches are split, and no batch of more rows at this length is asked at once any more.
    """

    def __init__(
        self,
        model: SequentialRecommender,
        device: torch.device,
        *,
        dtype: torch.dtype = torch.float32,
        capture: Capture | None = None,
        most: int = MOST_GRAPHS,
    ) -> None:
        self._model = model.to(device).eval()
        self._encoder = model.encoder if dtype == torch.float32 else _in_dtype(model.encoder, dtype)
        self._device, self._dtype = device, dtype
        self._capture = CudaGraphs(device) if capture is None else capture
        self.name = f"torch with {self._capture.name}, {str(dtype).removeprefix('torch.')}"
        self._prepared: LastUsed[Bucket, Prepared] = LastUsed(most)
        self._unrecorded: set[Bucket] = set()
        self._fitting: dict[int, AdaptiveBatchSize] = {}  # by length of the bucket

    @torch.inference_mode()
    def encode(self, histories: Sequence[History], times: Sequence[Times] | None = None) -> Encoded:
        if not histories:
            raise ValueError("no history was given")
        max_len = self._model.config.max_len
        fitting = self._fitting.setdefault(length_of(max(map(len, histories)), max_len), AdaptiveBatchSize())
        parts = fitting.run(
            len(histories), lambda rows: self._part(histories[rows], None if times is None else times[rows])
        )
        items, cells = sum(part[1] for part in parts), sum(part[2] for part in parts)
        return Encoded(torch.cat([part[0] for part in parts]), 1.0 - items / cells)

    def _part(self, histories: Sequence[History], times: Sequence[Times] | None) -> tuple[Tensor, int, int]:
        """Hidden vectors, items, and cells computed for them."""
        bucket = bucket_of(len(histories), max(map(len, histories)), self._model.config.max_len)
        try:
            prepared = self._prepared.get(bucket, lambda: self._prepare(bucket))
            items = prepared.staging.fill(histories, times)
            hidden = prepared.work()[: len(histories)].to(torch.float32, copy=True)
        except torch.OutOfMemoryError:
            self._prepared.clear()  # what graphs hold is given back before a smaller part is tried
            raise
        return hidden, items, bucket.rows * bucket.length

    def _prepare(self, bucket: Bucket) -> Prepared:
        staging = Staging(bucket, self._device, with_times=self._model.reads_times)
        # Nothing of this runner itself: it would hold itself by what it keeps.
        work = partial(_last_hidden, self._model, self._encoder, self._dtype, staging.batch)
        if bucket in self._unrecorded:
            return Prepared(staging, work)
        try:
            return Prepared(staging, self._capture(work))
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                self._prepared.clear()
            self._unrecorded.add(bucket)
            log.warning("batches of %d × %d run without a recording: %s", bucket.rows, bucket.length, error)
            return Prepared(staging, work)


def _last_hidden(
    model: SequentialRecommender, encoder: SequenceEncoder, dtype: torch.dtype, batch: SequenceBatch
) -> Tensor:
    return encoder.forward_last(model.embed(batch).to(dtype), batch.lengths)


def _in_dtype(encoder: SequenceEncoder, dtype: torch.dtype) -> SequenceEncoder:
    """A copy whose weights have this type. Buffers, such as the angles of positions, stay as exact as they are."""
    copied = copy.deepcopy(encoder)
    for parameter in copied.parameters():
        parameter.data = parameter.data.to(dtype)
    return copied
