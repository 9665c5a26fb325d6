"""Items that a model was not trained on, next to its catalogue: placed by neighbours, searched and merged exactly.

New item n has index num_items + 1 + n. Its vector is the weighted mean of its neighbours', as `models/cold_start.py`
places items, so its score is on the scale of theirs. A mean is shorter than the vectors it is of, and a short vector is
never among the best: it is lifted by a part of the difference (figures: `models/benchmarks/new_items.py`).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.batch import PADDING, History, Times
from models.predictor import EncodedHistories, Predictor
from models.scorers.filter import Indices, Mask
from models.scorers.ranked_items import RankedItems
from models.scorers.vectors import ItemVectors, get_item_vectors

Floats = NDArray[np.float32]
ItemNeighbours = tuple[Indices, Floats]
"""Catalogue indices (K,) of trained items, K ≥ 1, and their weights (K,), each above 0."""
LIFT = 0.25
"""Part of the difference between the length of a mean and the mean length of its vectors that is added."""


@dataclass(frozen=True, slots=True)
class PlacedItems:
    """`rows` (n, width) are multiplied with queries, `vectors` (n, dim) compared by cosine.

    `substitutes` (n,): the trained item that is most like each new item, which takes its place in histories.
    """

    rows: torch.Tensor
    vectors: Floats
    substitutes: Indices

    def __len__(self) -> int:
        return len(self.substitutes)


def place_items(
    predictor: Predictor, neighbours: Sequence[ItemNeighbours], lock: AbstractContextManager[object] | None = None
) -> PlacedItems | None:
    """Place new items between their neighbours; None for a model whose scores are no inner products.

    The model is read under `lock`, so that another thread may use it.
    """
    item_vectors = get_item_vectors(predictor.model)
    if item_vectors is None or not neighbours:
        return None
    trained, positions = np.unique(np.concatenate([items for items, _ in neighbours]), return_inverse=True)
    weights = np.concatenate([values / values.sum() for _, values in neighbours]).astype(np.float32)[:, None]
    starts = np.cumsum([0, *(len(items) for items, _ in neighbours[:-1])])
    with lock or nullcontext():
        rows, vectors = _read_rows(predictor, item_vectors, trained)
    means: Floats = np.add.reduceat(weights * vectors[positions], starts)
    mean_rows = means if rows is vectors else np.add.reduceat(weights * rows[positions], starts)
    mean_rows = _lift(mean_rows, np.add.reduceat(weights[:, 0] * np.linalg.norm(rows, axis=1)[positions], starts))
    counts = [len(items) for items, _ in neighbours]
    substitutes = _find_most_similar(vectors[positions], means, counts)
    nearest = [items[position] for (items, _), position in zip(neighbours, substitutes, strict=True)]
    return PlacedItems(torch.from_numpy(mean_rows).to(predictor.torch_device), means, np.array(nearest, dtype=np.int64))


class ExtendedPredictor:
    """Searches a model's items and new items together; what it returns equals a search of one larger catalogue.

    Masks are (num_items + n + 1,), and excluded indices may be those of new items. Transition memories hold no new
    items, so theirs are the scores of the encoder.
    """

    def __init__(self, predictor: Predictor, placed: PlacedItems) -> None:
        vectors = get_item_vectors(predictor.model)
        assert vectors is not None, "placed items have vectors"
        self._vectors: ItemVectors = vectors
        self.trained = predictor
        """The predictor of the items of training."""
        self.model = predictor.model
        self._placed = placed
        self._num_trained = predictor.num_items
        self.num_items = predictor.num_items + len(placed)
        self.reads_times = predictor.reads_times

    def top_k(
        self,
        histories: Sequence[History],
        k: int,
        *,
        times: Sequence[Times] | None = None,
        request_times: Times | None = None,
        excluded: Sequence[Indices],
        allow_masks: Sequence[Mask | None],
    ) -> RankedItems:
        """Find the k best items after each history of trained items; as `Predictor.top_k`."""
        encoded = self.encode(histories, times=times, request_times=request_times)
        top = self.search(encoded, range(len(histories)), k, excluded, allow_masks)
        return RankedItems(top.indices, top.scores, encoded.encode_s, top.score_s, encoded.padding_ratio)

    def encode(
        self,
        histories: Sequence[History],
        *,
        times: Sequence[Times] | None = None,
        request_times: Times | None = None,
    ) -> EncodedHistories:
        """Encode histories of trained items."""
        return self.trained.encode(histories, times=times, request_times=request_times)

    @torch.inference_mode()
    def search(
        self,
        encoded: EncodedHistories,
        rows: Sequence[int],
        k: int,
        excluded: Sequence[Indices],
        allow_masks: Sequence[Mask | None],
    ) -> RankedItems:
        """Find the k best items after the history of each of `rows`; as `Predictor.search`."""
        end = self._num_trained + 1
        trained_excluded, new_excluded = list(excluded), []
        is_any_new = np.concatenate(excluded).max(initial=0) >= end  # once for the batch, as most have none
        for row, indices in enumerate(excluded) if is_any_new else ():
            is_new = indices >= end
            if is_new.any():
                new_excluded.append((row, indices[is_new] - end))
                trained_excluded[row] = indices[~is_new]
        masks = {id(mask): mask for mask in allow_masks if mask is not None}  # parts are shared as the masks are
        trained_parts = {key: mask[:end] for key, mask in masks.items()}
        trained_masks = [None if mask is None else trained_parts[id(mask)] for mask in allow_masks]
        top = self.trained.search(encoded, rows, k, trained_excluded, trained_masks)
        scores = self.score_new_items(encoded, rows)
        forbidden = {key: ~mask[end:] for key, mask in masks.items()}
        if len(masks) == 1 and all(mask is not None for mask in allow_masks):
            scores[:, next(iter(forbidden.values()))] = -np.inf
        else:
            for row, mask in enumerate(allow_masks):
                if mask is not None:
                    scores[row, forbidden[id(mask)]] = -np.inf
        for row, columns in new_excluded:
            scores[row, columns] = -np.inf
        return _merge(top, scores, self._num_trained, min(k, self.num_items))

    @torch.inference_mode()
    def score_new_items(self, encoded: EncodedHistories, rows: Sequence[int]) -> Floats:
        """Score all new items after the history of each of `rows`: (B, n)."""
        hidden = encoded.hidden
        if list(rows) != list(range(len(hidden))):
            hidden = hidden[torch.tensor(rows, device=hidden.device)]
        scores: Floats = (self._vectors.to_query(hidden).float() @ self._placed.rows.T).cpu().numpy()
        return scores

    def get_vectors(self, items: Indices) -> Floats:
        """Return the vectors (n, dim) of items, trained and new ones."""
        is_new = items > self._num_trained
        vectors = self.trained.get_vectors(np.where(is_new, PADDING, items))
        vectors[is_new] = self._placed.vectors[items[is_new] - self._num_trained - 1]
        return vectors


def _read_rows(predictor: Predictor, item_vectors: ItemVectors, items: Indices) -> tuple[Floats, Floats]:
    """Read rows and vectors of trained items, which are the same array where the head has none of its own."""
    with torch.inference_mode():
        rows: Floats = item_vectors.get_rows(torch.from_numpy(items).to(predictor.torch_device)).cpu().numpy()
    has_own_rows = item_vectors.width != predictor.config.dim
    return rows, predictor.get_vectors(items) if has_own_rows else rows


def _lift(means: Floats, mean_lengths: Floats) -> Floats:
    """Lengthen means (n, width) towards the mean lengths (n,) of their vectors."""
    lengths = np.maximum(np.linalg.norm(means, axis=1), np.finfo(np.float32).tiny)
    lifted: Floats = (means * (1 - LIFT + LIFT * mean_lengths / lengths)[:, None]).astype(np.float32)
    return lifted


def _find_most_similar(vectors: Floats, means: Floats, counts: Sequence[int]) -> list[int]:
    """Find, per new item, the position of the neighbour whose vector has the largest cosine with the mean."""
    norms = np.linalg.norm(vectors, axis=1)
    cosines = (vectors * np.repeat(means, counts, axis=0)).sum(1) / np.maximum(norms, np.finfo(np.float32).tiny)
    return [int(part.argmax()) for part in np.split(cosines, np.cumsum(counts)[:-1])]


def _merge(top: RankedItems, new_scores: Floats, num_trained: int, k: int) -> RankedItems:
    """Merge the best trained items with the scores (B, n) of all new items; ties in the order of indices."""
    indices, scores = top.indices, top.scores
    if missing := k - scores.shape[1]:  # k is larger than the number of trained items
        indices = np.pad(indices, ((0, 0), (0, missing)))
        scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    is_better = new_scores > scores[:, -1:]  # an equal one has a higher index than the last trained item
    for row in np.flatnonzero(is_better.any(axis=1)).tolist():
        columns = np.flatnonzero(is_better[row])
        all_scores = np.concatenate((scores[row], new_scores[row, columns]))
        all_indices = np.concatenate((indices[row], columns + num_trained + 1))
        order = np.lexsort((all_indices, -all_scores))[:k]
        scores[row], indices[row] = all_scores[order], all_indices[order]
    return RankedItems(indices, scores, top.encode_s, top.score_s, top.padding_ratio)
