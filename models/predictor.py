"""The only scoring path: evaluation, benchmarks, golden answers and the service all ask here.

Histories go in as catalogue indices, top items come out. It knows tensors and masks; it knows no external id, no file
and no event loop.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batch import PADDING, History, Times
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.torch_runner import TorchRunner

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TopItems:
    """`indices` (B, k) with 0 where no eligible item is left, `scores` (B, k) falling, −inf there; times in seconds."""

    indices: Indices
    scores: NDArray[np.float32]
    encode_s: float
    score_s: float
    padding_ratio: float


class Predictor:
    """Holds a model in evaluation mode on one device. Not for several threads at once.

    Without a runner torch encodes, which is right while weights still change.
    """

    def __init__(self, model: SequentialRecommender, device: torch.device, runner: Runner | None = None) -> None:
        self.model = model.to(device).eval()
        self.runner = runner or TorchRunner(model, device)
        self.config = model.config
        self.max_len = model.config.max_len
        self.num_items = model.embedding.num_items
        self.reads_times = model.reads_times
        self.torch_device = device
        self._norms: Tensor | None = None

    @property
    def device(self) -> str:
        return self.torch_device.type

    @property
    def dtype(self) -> str:
        return str(next(self.model.parameters()).dtype).removeprefix("torch.")

    @torch.inference_mode()
    def top_k(
        self,
        histories: Sequence[History],
        k: int,
        *,
        times: Sequence[Times] | None = None,
        denied: Sequence[Indices] | None = None,
        allowed: Sequence[Mask | None] | None = None,
    ) -> TopItems:
        """The k best items after each history, in falling score, equal scores in catalogue order.

        Args:
            histories: catalogue indices, oldest first, at least one each; the newest `max_len` count.
            k: at least 1; more than there are items gives as many as there are.
            times: per history, its events' times, 0 where nobody knows. Not looked at unless `reads_times`.
            denied: per history, indices that are not answered.
            allowed: per history, a (num_items + 1,) mask of what may be answered, or None for everything.

        """
        began = time.perf_counter()
        found = self.runner.encode(histories, times if self.reads_times else None)
        self._wait()
        encoded = time.perf_counter()
        indices, values = self._best(self.model.scores(found.hidden).float(), k, denied, allowed)
        return TopItems(indices, values, encoded - began, time.perf_counter() - encoded, found.padding_ratio)

    @torch.inference_mode()
    def similar(
        self,
        items: Indices,
        k: int,
        *,
        denied: Sequence[Indices] | None = None,
        allowed: Sequence[Mask | None] | None = None,
    ) -> TopItems:
        """The k items whose vectors have the largest cosine with each of `items` (B,); never the item itself."""
        began = time.perf_counter()
        embedding = self.model.embedding
        if self._norms is None:
            self._norms = embedding.table().norm(dim=-1).clamp_min(1e-12)
        rows = torch.from_numpy(items).to(self.torch_device)
        unit = embedding.table(rows) / self._norms[rows, None]
        itself = [*items[:, None]]
        excluded = itself if denied is None else [np.append(a, b) for a, b in zip(denied, itself, strict=True)]
        indices, values = self._best(embedding.scores(unit).float() / self._norms, k, excluded, allowed)
        return TopItems(indices, values, 0.0, time.perf_counter() - began, 0.0)

    def model_bytes(self) -> dict[str, int]:
        """Bytes of weights and buffers that are kept, by room; intervals are read on the way into the encoder."""
        found = dict.fromkeys(("embedding", "encoder", "head"), 0)
        for name, weights in self.model.state_dict().items():
            room = name.partition(".")[0]
            found["encoder" if room == "intervals" else room] += weights.nbytes
        return found

    def device_memory(self) -> dict[str, int]:
        """Bytes on an accelerator: allocated, reserved, peak, total; nothing on a CPU."""
        if self.torch_device.type != "cuda":
            return {}
        return {
            "allocated": torch.cuda.memory_allocated(self.torch_device),
            "reserved": torch.cuda.memory_reserved(self.torch_device),
            "peak": torch.cuda.max_memory_allocated(self.torch_device),
            "total": torch.cuda.get_device_properties(self.torch_device).total_memory,
        }

    def workspace_bytes(self, batch_size: int = 32) -> int:
        """Bytes of the largest tensors of one batch: scores of the catalogue, and hidden vectors of all positions."""
        return 4 * batch_size * (self.num_items + 1 + self.max_len * self.config.dim)

    def _best(
        self,
        scores: Tensor,
        k: int,
        denied: Sequence[Indices] | None,
        allowed: Sequence[Mask | None] | None,
    ) -> tuple[Indices, NDArray[np.float32]]:
        """Masks first, so that k eligible items come back as long as there are k."""
        scores = scores.clone() if scores._base is not None or not scores.is_contiguous() else scores
        for row, mask in enumerate(allowed or ()):
            if mask is not None:
                scores[row].masked_fill_(~torch.from_numpy(mask).to(scores.device), -torch.inf)
        if denied is not None:
            rows = np.repeat(np.arange(len(denied)), [len(indices) for indices in denied])
            flat = torch.from_numpy(rows * scores.shape[1] + np.concatenate(denied))
            scores.view(-1).index_fill_(0, flat.to(scores.device), -torch.inf)
        scores[:, PADDING] = -torch.inf
        values, indices = _top_in_order(scores, min(k, self.num_items))
        indices = indices.masked_fill(values == -torch.inf, PADDING)
        return indices.cpu().numpy(), values.cpu().numpy()

    def _wait(self) -> None:
        """Stage times mean something on an asynchronous device too."""
        if self.torch_device.type == "cuda":
            torch.cuda.synchronize(self.torch_device)


def _top_in_order(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(B, k) values and columns, equal values by rising column; torch.topk leaves the order of ties open."""
    values, columns = scores.topk(k)
    columns, by_column = columns.sort(dim=-1)
    values, by_value = values.gather(-1, by_column).sort(dim=-1, descending=True, stable=True)
    columns = columns.gather(-1, by_value)
    last = values[:, -1:]
    left_out = (scores == last).sum(-1) > (values == last).sum(-1)  # equals of the last one did not all get in
    for row in torch.nonzero(left_out & (last.squeeze(-1) > -torch.inf)).flatten().tolist():
        ordered = scores[row].sort(descending=True, stable=True)
        values[row], columns[row] = ordered.values[:k], ordered.indices[:k]
    return values, columns
