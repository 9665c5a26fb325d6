"""Adds a transition memory to the answer of any scorer, exactly and without scoring the catalogue again.

A bonus never lowers a score, and only followers of a history's newest items have one. An item without a bonus that is
among the best k with bonuses is therefore among the best k without them: the answer is the best of the scorer's top k
and the eligible followers with their new scores. The same holds for ties, which are in catalogue order.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.batch import PADDING, History
from models.embeddings.codes import CodesEmbedding
from models.embeddings.full import FullEmbedding
from models.heads.tied import TiedHead
from models.native.library import load_library
from models.native.reranker import ItemTable, MemoryArrays, Reranker
from models.recommender import SequentialRecommender
from models.scorers.base import TopK
from models.scorers.filter import Indices, ItemFilter
from models.transitions.codec import PROBABILITIES
from models.transitions.memory import COUNT_STEP, TransitionMemory
from models.transitions.mixing import MAX_EXPONENT, Floats, TransitionMixer


class TransitionRanking:
    """Reranks for one model with the memory that it had when this object was built, in numpy or in native code."""

    def __init__(self, model: SequentialRecommender, memory: TransitionMemory) -> None:
        self._model = model
        self._memory = memory
        self._mixer = TransitionMixer(memory)
        self._scale, self._damping = np.float32(memory.scale.item()), np.float32(memory.damping.item())
        self.reranker: Reranker | None = None
        """None while torch and numpy rerank."""

    @property
    def nbytes(self) -> int:
        """Bytes of the memory; scorers of a model count only their own tables."""
        return sum(part.nbytes for part in self._memory.state_dict().values())

    def use_native(self) -> bool:
        """Use native code where the library supports the model, whose weights must not change any more."""
        library, table = load_library(), _get_item_table(self._model)
        if library is None or table is None:
            return False
        self.reranker = Reranker(library, _get_memory_arrays(self._memory), table, self._model.config.dim)
        return True

    def rerank(self, top: TopK, histories: Sequence[History], hidden: Tensor, item_filter: ItemFilter) -> TopK:
        """Return the top k with bonuses; `top` are the scorer's, of the same histories and filter."""
        if self.reranker is not None:
            scores, items = np.ascontiguousarray(top.values.numpy()), np.ascontiguousarray(top.indices.numpy())
            excluded, allow_masks = item_filter.excluded, item_filter.allow_masks
            self.reranker.rerank(histories, hidden.numpy(), scores, items, excluded, allow_masks)
            return TopK(torch.from_numpy(items), torch.from_numpy(scores))
        items, bonuses = self._mixer.compute_bonuses(self._mixer.find_followers(histories, hidden.cpu().numpy()))
        model_scores = self._model.score_items(hidden, torch.from_numpy(items).to(hidden.device)).float().cpu().numpy()
        scores = self._mix(model_scores, bonuses)
        scores = np.where(item_filter.find_eligible(items), scores, -np.inf)
        top_items, top_scores = top.indices.cpu().numpy(), top.values.cpu().numpy()
        is_follower = (top_items[:, :, None] == items[:, None, :]).any(-1)
        scores = np.concatenate((np.where(is_follower, -np.inf, top_scores), scores), axis=1)
        items = np.concatenate((top_items, items), axis=1)
        order = np.lexsort((items, -scores), axis=-1)[:, : top_items.shape[1]]
        scores = np.take_along_axis(scores, order, axis=-1)
        items = np.where(np.isneginf(scores), PADDING, np.take_along_axis(items, order, axis=-1))
        return TopK(torch.from_numpy(items), torch.from_numpy(scores.astype(np.float32, copy=False)))

    def add_bonuses(self, scores: Floats, items: Indices, histories: Sequence[History], hidden: Tensor) -> Floats:
        """Return the scores (B, K) of `items` (K,) after each history, with the bonuses of those that are followers."""
        followers, bonuses = self._mixer.compute_bonuses(self._mixer.find_followers(histories, hidden.cpu().numpy()))
        is_follower = followers[:, None, :] == items[None, :, None]  # each follower of a history is there once
        return self._mix(scores, np.where(is_follower, bonuses[:, None, :], -np.inf).max(-1))

    def _mix(self, model_scores: Floats, bonuses: Floats) -> Floats:
        mixed: Floats
        if self._model.head.scores_are_counts:
            mixed = model_scores + np.exp(bonuses)
        else:
            # As a sum with a term of at least 0, so that rounding cannot lower a score.
            with np.errstate(invalid="ignore"):  # padding: −inf minus −inf
                gains = bonuses - self._damping * self._scale * model_scores
            mixed = model_scores + np.logaddexp(0, np.nan_to_num(gains, nan=-np.inf)) / self._scale
        return mixed


def _get_item_table(model: SequentialRecommender) -> ItemTable | None:
    """Return the table that native code can read; None for other embeddings and heads, and on a GPU."""
    embedding = model.embedding
    if not isinstance(model.head, TiedHead) or next(model.parameters()).device.type != "cpu":
        return None
    if isinstance(embedding, FullEmbedding):
        return ItemTable(embedding.vectors.weight.detach().numpy())
    if isinstance(embedding, CodesEmbedding):
        return ItemTable(
            embedding.pieces.weight.detach().numpy(),
            embedding.kept.numpy(),
            embedding.num_subspaces,
            embedding.codebook_size,
            embedding.is_packed,
        )
    return None


def _get_memory_arrays(memory: TransitionMemory) -> MemoryArrays:
    return MemoryArrays(
        memory.rows.numpy(),
        PROBABILITIES,
        memory.gate.numpy(),
        memory.normalizer_in.numpy(),
        memory.normalizer_out.numpy(),
        memory.num_followers,
        memory.index_bytes,
        COUNT_STEP,
        MAX_EXPONENT,
        memory.scale.item(),
        memory.damping.item(),
    )
