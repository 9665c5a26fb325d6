"""Opens native searches under boosts and limits, where native code scans the catalogue and reranks."""

from collections.abc import Sequence

import numpy as np
import torch

from models.native.ruled_search import RuledSearch, SearchedBatch
from models.new_items import ExtendedPredictor
from models.predictor import EncodedHistories, Predictor
from models.scorers.exact.native_blocks import NativeBlocksScorer
from models.scorers.filter import Indices, ItemFilter, Mask


@torch.inference_mode()
def open_ruled_search(
    predictor: Predictor | ExtendedPredictor,
    encoded: EncodedHistories,
    depth: int,
    excluded: Sequence[Indices],
    allow_masks: Sequence[Mask | None],
) -> RuledSearch | None:
    """Open searches of all histories; None where torch or another scan has to search.

    `depth` is the number of items that the first search finds; the other arguments are as in `Predictor.search`.
    """
    trained = predictor.trained if isinstance(predictor, ExtendedPredictor) else predictor
    transitions, count = trained.transitions, len(encoded.hidden)
    scorer = trained.selection.get_scorer(count)
    if not isinstance(scorer, NativeBlocksScorer) or (transitions is not None and transitions.reranker is None):
        return None
    prepared = scorer.prepare(encoded.hidden, ItemFilter(predictor.num_items, excluded, allow_masks))
    if prepared is None:
        return None
    new_scores = np.empty((count, 0), dtype=np.float32)
    if isinstance(predictor, ExtendedPredictor):
        new_scores = predictor.score_new_items(encoded, range(count))
    scanner, lookup_tables = prepared
    hidden = encoded.hidden.float().numpy()
    batch = SearchedBatch(encoded.histories, hidden, lookup_tables, new_scores, excluded, allow_masks)
    reranker = None if transitions is None else transitions.reranker
    return RuledSearch(scanner, reranker, batch, min(depth, trained.num_items))
