"""The only scoring path: evaluation, benchmarks, golden answers and the service all ask here.

Histories go in as catalogue indices, top items come out. It knows tensors and masks; it knows no external id, no file
and no event loop.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.batch import History, Times
from models.oom_batching import AdaptiveBatchSize
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.torch_runner import TorchRunner
from models.scorers.ann.indexes import Index, build_index, make_exact_index_scorer
from models.scorers.exact.cosine import CosineScan
from models.scorers.filter import Indices, ItemFilter, Mask
from models.scorers.selection import ScorerSelection, select_plain_scorer, select_scorers

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class RankedItems:
    """`indices` (B, k) with 0 where no item_filter item is left, `scores` (B, k) falling, −inf there; times in seconds."""

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
        self._cosines: CosineScan | None = None
        self._fitting = AdaptiveBatchSize()
        self._exact = self._scoring = select_plain_scorer(self.model)

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
        excluded: Sequence[Indices] | None = None,
        allow_masks: Sequence[Mask | None] | None = None,
    ) -> RankedItems:
        """The k best items after each history, in falling score, equal scores in catalogue order.

        Args:
            histories: catalogue indices, oldest first, at least one each; the newest `max_len` count.
            k: at least 1; more than there are items gives as many as there are.
            times: per history, its events' times, 0 where nobody knows. Not looked at unless `reads_times`.
            excluded: per history, indices that are not answered.
            allow_masks: per history, a (num_items + 1,) mask of what may be answered, or None for everything.

        """
        if not len(histories):
            raise ValueError("no history was given")
        parts = self._fitting.run(
            len(histories),
            lambda rows: self._top_k(histories[rows], k, _of(times, rows), _of(excluded, rows), _of(allow_masks, rows)),
        )
        return parts[0] if len(parts) == 1 else _together(parts)

    def _top_k(
        self,
        histories: Sequence[History],
        k: int,
        times: Sequence[Times] | None,
        excluded: Sequence[Indices] | None,
        allow_masks: Sequence[Mask | None] | None,
    ) -> RankedItems:
        began = time.perf_counter()
        found = self.runner.encode(histories, times if self.reads_times else None)
        self._wait()
        encoded = time.perf_counter()
        item_filter = ItemFilter(self.num_items, excluded, allow_masks)
        best = self._scoring.scorer(len(found.hidden)).find_top_k(found.hidden, min(k, self.num_items), item_filter)
        indices, values = best.indices.cpu().numpy(), best.values.cpu().numpy()
        return RankedItems(indices, values, encoded - began, time.perf_counter() - encoded, found.padding_ratio)

    @torch.inference_mode()
    def find_similar(
        self,
        items: Indices,
        k: int,
        *,
        excluded: Sequence[Indices] | None = None,
        allow_masks: Sequence[Mask | None] | None = None,
    ) -> RankedItems:
        """The k items whose vectors have the largest cosine with each of `items` (B,); never the item itself."""
        began = time.perf_counter()
        self._cosines = self._cosines or CosineScan(self.model.embedding)
        rows = torch.from_numpy(items).to(self.torch_device)
        itself = [*items[:, None]]
        excluded = itself if excluded is None else [np.append(a, b) for a, b in zip(excluded, itself, strict=True)]
        best = self._cosines.find_top_k(rows, min(k, self.num_items), ItemFilter(self.num_items, excluded, allow_masks))
        return RankedItems(best.indices.cpu().numpy(), best.values.cpu().numpy(), 0.0, time.perf_counter() - began, 0.0)

    @property
    def scoring(self) -> dict[str, object]:
        """Which scorers answer, and the timings that decided it."""
        return self._scoring.describe()

    @property
    def recall(self) -> float:
        """Of answers at 10, as measured when the index was built; 1 where they are exact."""
        return self._scoring.recall

    def choose_scorers(self, *, native: bool = True) -> None:
        """Measure the exact ways of scoring and take the fastest; the weights must not change any more."""
        self._exact = self._scoring = select_scorers(self.model, native=native)

    @torch.inference_mode()
    def build_index(self, histories: Sequence[History]) -> Index | None:
        """For approximate answers (models/scorers/ann/indexes.py), as good as it must be after these histories.

        None where no index is: scores are no inner products, or recall costs as much as a scan of everything.
        """
        hidden = torch.cat([self.runner.encode([history], None).hidden for history in histories])
        return build_index(self.model, hidden, self._exact.large, excluded=histories)

    @torch.inference_mode()
    def use_index(self, index: Index) -> None:
        """Answer approximately where that is faster, but for histories with filters that the index cannot serve."""
        if (shared := make_exact_index_scorer(self.model, index)) is not None:
            self._exact = ScorerSelection(shared, shared, {})  # what was kept for exact answers can go
        self._scoring = self._exact.with_index(self.model, index)

    def count_model_bytes(self) -> dict[str, int]:
        """Bytes of weights and buffers that are kept, by room; intervals are read on the way into the encoder."""
        found = dict.fromkeys(("embedding", "encoder", "head"), 0)
        for name, weights in self.model.state_dict().items():
            room = name.partition(".")[0]
            found["encoder" if room == "intervals" else room] += weights.nbytes
        return found

    def read_device_memory(self) -> dict[str, int]:
        """Bytes on an accelerator: allocated, reserved, peak, total; nothing on a CPU."""
        if self.torch_device.type != "cuda":
            return {}
        return {
            "allocated": torch.cuda.memory_allocated(self.torch_device),
            "reserved": torch.cuda.memory_reserved(self.torch_device),
            "peak": torch.cuda.max_memory_allocated(self.torch_device),
            "total": torch.cuda.get_device_properties(self.torch_device).total_memory,
        }

    def estimate_workspace_bytes(self, batch_size: int = 32) -> int:
        """Bytes that are needed beside the weights: what scorers keep, and the largest tensors of one batch.

        Those are scores, as many as the scorer holds at once, and hidden vectors of all positions.
        """
        scorer = self._scoring.scorer(batch_size)
        return self._scoring.nbytes + 4 * batch_size * (scorer.width + self.max_len * self.config.dim)

    def _wait(self) -> None:
        """Stage times mean something on an asynchronous device too."""
        if self.torch_device.type == "cuda":
            torch.cuda.synchronize(self.torch_device)


def _of(rows: Sequence[Row] | None, part: slice) -> Sequence[Row] | None:
    return None if rows is None else rows[part]


def _together(parts: Sequence[RankedItems]) -> RankedItems:
    return RankedItems(
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.scores for part in parts]),
        sum(part.encode_s for part in parts),
        sum(part.score_s for part in parts),
        float(np.mean([part.padding_ratio for part in parts])),
    )
