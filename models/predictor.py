"""The only scoring path, used by evaluation, benchmarks, golden outputs and the service.

Takes histories as catalogue indices and returns ranked items. It is longer than 250 lines because every path from
histories to the top k is here: in one call, or encoded once and searched several times, as rules need (ADR-0070).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batch import History, Times
from models.oom_batching import AdaptiveBatchSize
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.torch_runner import TorchRunner
from models.scorers.ann.indexes import Index, build_index, make_exact_index_scorer
from models.scorers.exact.cosine import CosineScan
from models.scorers.filter import Indices, ItemFilter, Mask
from models.scorers.ranked_items import RankedItems, concatenate
from models.scorers.selection import ScorerSelection, select_plain_scorer, select_scorers
from models.scorers.transition_ranking import TransitionRanking

Row = TypeVar("Row")
LARGEST_BATCH = 32  # histories, with default settings


@dataclass(frozen=True, slots=True)
class EncodedHistories:
    """Histories with their hidden vectors (B, dim), which can be searched again and again."""

    histories: Sequence[History]
    hidden: Tensor
    encode_s: float
    padding_ratio: float


class Predictor:
    """Runs a model in evaluation mode on one device. Not thread-safe.

    Without a runner torch encodes, as is necessary while weights still change.
    """

    def __init__(self, model: SequentialRecommender, device: torch.device, runner: Runner | None = None) -> None:
        self.model = model.to(device).eval()
        self.runner = runner or TorchRunner(model, device)
        self.config = model.config
        self.max_len = model.config.max_len
        self.num_items = model.embedding.num_items
        self.reads_times = model.reads_times
        self.reads_request_times = model.reads_request_times
        self.torch_device = device
        self._cosine_scan: CosineScan | None = None
        self.transitions = None if model.transitions is None else TransitionRanking(model, model.transitions)
        self._batch_size = AdaptiveBatchSize()
        self._exact_selection = self.selection = select_plain_scorer(self.model)

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
        request_times: Times | None = None,
        excluded: Sequence[Indices] | None = None,
        allow_masks: Sequence[Mask | None] | None = None,
    ) -> RankedItems:
        """Find the k best items after each history, by descending score, ties in catalogue order.

        Args:
            histories: catalogue indices, oldest first, at least one each; the newest `max_len` count.
            k: at least 1; limited to the size of the catalogue.
            times: per history, the times of its events, 0 for unknown. Ignored unless `reads_times`.
            request_times: (B,) the times of the requests, 0 for unknown. Ignored unless `reads_request_times`.
            excluded: per history, indices to filter out.
            allow_masks: per history, a (num_items + 1,) mask of allowed items, or None to allow all.

        """
        if not len(histories):
            raise ValueError("no histories; pass at least one")
        parts = self._batch_size.run(
            len(histories),
            lambda rows: self._find_top_k(
                histories[rows],
                k,
                _slice(times, rows),
                None if request_times is None else request_times[rows],
                _slice(excluded, rows),
                _slice(allow_masks, rows),
            ),
        )
        return concatenate(parts)

    @torch.inference_mode()
    def encode(
        self,
        histories: Sequence[History],
        *,
        times: Sequence[Times] | None = None,
        request_times: Times | None = None,
    ) -> EncodedHistories:
        """Encode histories for several searches; arguments as in `top_k`."""
        parts = self._batch_size.run(
            len(histories),
            lambda rows: self._encode(
                histories[rows], _slice(times, rows), None if request_times is None else request_times[rows]
            ),
        )
        if len(parts) == 1:
            return parts[0]
        hidden = torch.cat([part.hidden for part in parts])
        padding_ratio = float(np.mean([part.padding_ratio for part in parts]))
        return EncodedHistories(histories, hidden, sum(part.encode_s for part in parts), padding_ratio)

    @torch.inference_mode()
    def search(
        self,
        encoded: EncodedHistories,
        rows: Sequence[int],
        k: int,
        excluded: Sequence[Indices],
        allow_masks: Sequence[Mask | None],
    ) -> RankedItems:
        """Find the k best items after the history of each of `rows`, which may repeat; arguments as in `top_k`."""
        histories, hidden = encoded.histories, encoded.hidden
        if list(rows) != list(range(len(histories))):
            histories = [histories[row] for row in rows]
            hidden = hidden[torch.from_numpy(np.array(rows)).to(hidden.device)]
        parts = self._batch_size.run(
            len(rows),
            lambda part: self._search(
                EncodedHistories(histories[part], hidden[part], 0.0, encoded.padding_ratio),
                k,
                ItemFilter(self.num_items, excluded[part], allow_masks[part]),
            ),
        )
        return concatenate(parts)

    @torch.inference_mode()
    def get_vectors(self, items: Indices) -> NDArray[np.float32]:
        """Return the vectors (n, dim) of items, whose cosines are their similarities."""
        rows = torch.from_numpy(items).to(self.torch_device)
        vectors: NDArray[np.float32] = self.model.embedding.table(rows).float().cpu().numpy()
        return vectors

    def _find_top_k(
        self,
        histories: Sequence[History],
        k: int,
        times: Sequence[Times] | None,
        request_times: Times | None,
        excluded: Sequence[Indices] | None,
        allow_masks: Sequence[Mask | None] | None,
    ) -> RankedItems:
        encoded = self._encode(histories, times, request_times)
        return self._search(encoded, k, ItemFilter(self.num_items, excluded, allow_masks))

    def _encode(
        self, histories: Sequence[History], times: Sequence[Times] | None, request_times: Times | None
    ) -> EncodedHistories:
        started_at = time.perf_counter()
        encoded = self.runner.encode(
            histories, times if self.reads_times else None, request_times if self.reads_request_times else None
        )
        self._synchronize()
        return EncodedHistories(histories, encoded.hidden, time.perf_counter() - started_at, encoded.padding_ratio)

    def _search(self, encoded: EncodedHistories, k: int, item_filter: ItemFilter) -> RankedItems:
        started_at = time.perf_counter()
        scorer = self.selection.get_scorer(len(encoded.hidden))
        top = scorer.find_top_k(encoded.hidden, min(k, self.num_items), item_filter)
        if self.transitions is not None:
            top = self.transitions.rerank(top, encoded.histories, encoded.hidden, item_filter)
        indices, scores = top.indices.cpu().numpy(), top.values.cpu().numpy()
        score_s = time.perf_counter() - started_at
        return RankedItems(indices, scores, encoded.encode_s, score_s, encoded.padding_ratio)

    @torch.inference_mode()
    def find_similar(
        self,
        items: Indices,
        k: int,
        *,
        excluded: Sequence[Indices] | None = None,
        allow_masks: Sequence[Mask | None] | None = None,
    ) -> RankedItems:
        """Find the k items whose vectors have the largest cosine with each of `items` (B,); never the item itself."""
        started_at = time.perf_counter()
        self._cosine_scan = self._cosine_scan or CosineScan(self.model.embedding)
        rows = torch.from_numpy(items).to(self.torch_device)
        itself = [*items[:, None]]
        excluded = itself if excluded is None else [np.append(a, b) for a, b in zip(excluded, itself, strict=True)]
        item_filter = ItemFilter(self.num_items, excluded, allow_masks)
        top = self._cosine_scan.find_top_k(rows, min(k, self.num_items), item_filter)
        indices, scores = top.indices.cpu().numpy(), top.values.cpu().numpy()
        return RankedItems(indices, scores, 0.0, time.perf_counter() - started_at, 0.0)

    @torch.inference_mode()
    def score_items(
        self,
        histories: Sequence[History],
        items: Indices,
        *,
        times: Sequence[Times] | None = None,
        request_times: Times | None = None,
    ) -> NDArray[np.float32]:
        """Score the same items (K,) after each history: (B, K), as `top_k` scores them."""
        encoded = self.runner.encode(
            histories, times if self.reads_times else None, request_times if self.reads_request_times else None
        )
        rows = torch.from_numpy(items).to(self.torch_device).expand(len(histories), -1)
        scores: NDArray[np.float32] = self.model.score_items(encoded.hidden, rows).float().cpu().numpy()
        if self.transitions is not None:
            scores = self.transitions.add_bonuses(scores, items, histories, encoded.hidden)
        return scores

    @property
    def scoring(self) -> dict[str, object]:
        """Description of the selected scorers, and the timings that decided."""
        return self.selection.describe()

    @property
    def recall(self) -> float:
        """recall@10, measured when the index was built; 1 for exact scorers."""
        return self.selection.recall

    def choose_scorers(self, *, native: bool = True) -> None:
        """Benchmark the exact scorers and use the fastest; the weights must not change any more."""
        self._exact_selection = self.selection = select_scorers(self.model, native=native)
        if self.transitions is not None and native:
            self.transitions.use_native()

    @torch.inference_mode()
    def build_index(self, histories: Sequence[History]) -> Index | None:
        """Build an ANN index (models/scorers/ann/indexes.py), calibrated to its target recall on these histories.

        None where scores are not inner products, or where the target recall costs as much as an exact scan.
        """
        hidden = torch.cat([self.runner.encode([history], None).hidden for history in histories])
        return build_index(self.model, hidden, self._exact_selection.large, excluded=histories)

    @torch.inference_mode()
    def use_index(self, index: Index) -> None:
        """Use the index where it is faster, except for histories with filters that it cannot serve."""
        if (index_scan := make_exact_index_scorer(self.model, index)) is not None:
            # Replaces the exact scorers, so that their extra memory is released.
            self._exact_selection = ScorerSelection(index_scan, index_scan, {})
        self.selection = self._exact_selection.with_index(self.model, index)

    def count_model_bytes(self) -> dict[str, int]:
        """Count the bytes of weights and buffers by part; the vectors of times count as encoder."""
        bytes_by_part = dict.fromkeys(("embedding", "encoder", "head"), 0)
        for name, weights in self.model.state_dict().items():
            part = name.partition(".")[0]
            part = "encoder" if part in ("intervals", "periods", "requests") else part
            bytes_by_part[part] = bytes_by_part.get(part, 0) + weights.nbytes
        return bytes_by_part

    def read_device_memory(self) -> dict[str, int]:
        """Read the bytes of an accelerator: allocated, reserved, peak, total; empty on a CPU."""
        if self.torch_device.type != "cuda":
            return {}
        return {
            "allocated": torch.cuda.memory_allocated(self.torch_device),
            "reserved": torch.cuda.memory_reserved(self.torch_device),
            "peak": torch.cuda.max_memory_allocated(self.torch_device),
            "total": torch.cuda.get_device_properties(self.torch_device).total_memory,
        }

    def estimate_workspace_bytes(self) -> int:
        """Estimate the bytes needed in addition to the weights: scorers' tables and the tensors of the largest batch.

        These tensors are the scores that the scorer holds at a time, and the hidden vectors of all positions.
        """
        scorer = self.selection.get_scorer(LARGEST_BATCH)
        return self.selection.nbytes + 4 * LARGEST_BATCH * (scorer.width + self.max_len * self.config.dim)

    def _synchronize(self) -> None:
        """Wait for the device, because work on a GPU is asynchronous and stage times would be too short."""
        if self.torch_device.type == "cuda":
            torch.cuda.synchronize(self.torch_device)


def _slice(rows: Sequence[Row] | None, part: slice) -> Sequence[Row] | None:
    return None if rows is None else rows[part]
