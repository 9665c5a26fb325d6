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
from models.recommender import SequentialRecommender
from models.scorers.base import TopK
from models.scorers.filter import ItemFilter
from models.transitions.memory import TransitionMemory
from models.transitions.mixing import TransitionMixer


class TransitionRanking:
    """Reranks for one model with the memory that it had when this object was built."""

    def __init__(self, model: SequentialRecommender, memory: TransitionMemory) -> None:
        self._model = model
        self._mixer = TransitionMixer(memory)

    def rerank(self, top: TopK, histories: Sequence[History], hidden: Tensor, item_filter: ItemFilter) -> TopK:
        """Return the top k with bonuses; `top` are the scorer's, of the same histories and filter."""
        items, bonuses = self._mixer.compute_bonuses(self._mixer.find_followers(histories, hidden.cpu().numpy()))
        model_scores = self._model.score_items(hidden, torch.from_numpy(items).to(hidden.device)).float().cpu().numpy()
        if self._model.head.scores_are_counts:
            scores = model_scores + np.exp(bonuses)
        else:
            scores = np.logaddexp(model_scores, bonuses)
        scores = np.where(item_filter.find_eligible(items), scores, -np.inf)
        top_items, top_scores = top.indices.cpu().numpy(), top.values.cpu().numpy()
        is_follower = (top_items[:, :, None] == items[:, None, :]).any(-1)
        scores = np.concatenate((np.where(is_follower, -np.inf, top_scores), scores), axis=1)
        items = np.concatenate((top_items, items), axis=1)
        order = np.lexsort((items, -scores), axis=-1)[:, : top_items.shape[1]]
        scores = np.take_along_axis(scores, order, axis=-1)
        items = np.where(np.isneginf(scores), PADDING, np.take_along_axis(items, order, axis=-1))
        return TopK(torch.from_numpy(items), torch.from_numpy(scores.astype(np.float32, copy=False)))
