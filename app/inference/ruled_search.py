"""Answers of the model to queries with rules: each history is encoded once and searched as often as rules need."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from app.inference.interfaces import SearchSpace
from app.inference.known_histories import KnownHistories
from app.inference.popularity import build_allow_mask
from app.inference.rules.batch import run_rankings
from app.inference.rules.ranking import Ranked, RuledRanking, Search, Steps, add_logits, multiply_odds
from app.inference.rules.shown import find_shown
from models.new_items import ExtendedPredictor
from models.predictor import Predictor

AnyPredictor = Predictor | ExtendedPredictor


class RuledAnswers(NamedTuple):
    """Items per query, and the seconds and padding of their batch."""

    ranked: list[Ranked]
    encode_s: float
    score_s: float
    padding_ratio: float


def rank_with_model(serving: SearchSpace, predictor: AnyPredictor, histories: KnownHistories) -> RuledAnswers:
    """Rank items for the rows of `histories` that have a known item; all their queries have rules."""
    encoded = predictor.encode(
        histories.select_known(),
        times=histories.select_times() if predictor.reads_times else None,
        request_times=histories.select_request_times(),
    )
    score_s = 0.0

    def run(searches: Sequence[tuple[int, Search]]) -> list[Ranked]:
        nonlocal score_s
        top = predictor.search(
            encoded,
            [number for number, _ in searches],
            max(search.k for _, search in searches),
            [search.excluded for _, search in searches],
            [search.mask for _, search in searches],
        )
        score_s += top.score_s
        counts = np.count_nonzero(top.indices, axis=1)  # zeros at the end: no eligible item was left
        pairs = zip(searches, counts.tolist(), top.indices, top.scores, strict=True)
        lengths = [(min(search.k, count), indices, scores) for (_, search), count, indices, scores in pairs]
        return [Ranked(indices[:end], scores[:end].astype(np.float64)) for end, indices, scores in lengths]

    rankings = [_start_ranking(serving, predictor, histories, row) for row in histories.rows]
    return RuledAnswers(run_rankings(rankings, run), encoded.encode_s, score_s, encoded.padding_ratio)


def _start_ranking(serving: SearchSpace, predictor: AnyPredictor, histories: KnownHistories, row: int) -> Steps:
    query = histories.queries[row]
    assert query.rules is not None
    ranking = RuledRanking(
        query.rules,
        query.k,
        serving.filters,
        allowed=build_allow_mask(serving, query.candidates, query.categories, query.item_filter),
        excluded=histories.find_excluded(row),
        tiers=(multiply_odds if predictor.model.head.scores_are_counts else add_logits,),
        get_vectors=predictor.get_vectors,
        shown=find_shown(query.rules, serving.catalogue.keys, serving.catalogue.num_items),
    )
    return ranking.rank()
