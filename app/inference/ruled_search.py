"""Answers of the model to queries with rules: each history is encoded once and searched as often as rules need."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from app.inference.interfaces import SearchSpace
from app.inference.known_histories import KnownHistories
from app.inference.popularity import build_allow_mask
from app.inference.rules.batch import run_rankings
from app.inference.rules.batch_answers import PickedAnswer, RuledQuery, can_pick, pick_answers
from app.inference.rules.ranking import Ranked, RuledRanking, Search, add_logits, multiply_odds
from app.inference.rules.shown import find_shown
from models.new_items import ExtendedPredictor
from models.predictor import EncodedHistories, Predictor
from models.ruled_search import open_ruled_search

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
    queries = [_read_query(serving, histories, row) for row in histories.rows]
    started_at = time.perf_counter()
    picked = _pick_answers(serving, predictor, encoded, queries)
    score_s = time.perf_counter() - started_at
    open_rows = [row for row in range(len(queries)) if row not in picked or not picked[row].is_whole]

    def run(searches: Sequence[tuple[int, Search]]) -> list[Ranked]:
        nonlocal score_s
        top = predictor.search(
            encoded,
            [open_rows[number] for number, _ in searches],
            max(search.k for _, search in searches),
            [search.excluded for _, search in searches],
            [search.mask for _, search in searches],
        )
        score_s += top.score_s
        counts = np.count_nonzero(top.indices, axis=1)  # zeros at the end: no eligible item was left
        pairs = zip(searches, counts.tolist(), top.indices, top.scores, strict=True)
        lengths = [(min(search.k, count), indices, scores) for (_, search), count, indices, scores in pairs]
        return [Ranked(indices[:end], scores[:end].astype(np.float64)) for end, indices, scores in lengths]

    first = {row: answer.items for row, answer in picked.items()}
    rankings = [_start_ranking(serving, predictor, queries[row]).rank(first.get(row)) for row in open_rows]
    ranked = first | dict(zip(open_rows, run_rankings(rankings, run), strict=True))
    answers = [ranked[row] for row in range(len(queries))]
    return RuledAnswers(answers, encoded.encode_s, score_s, encoded.padding_ratio)


def _pick_answers(
    serving: SearchSpace, predictor: AnyPredictor, encoded: EncodedHistories, queries: Sequence[RuledQuery]
) -> dict[int, PickedAnswer]:
    """Pick the answers to queries with boosts and limits in native code, by row; none where it cannot search."""
    rows = [row for row, query in enumerate(queries) if can_pick(query.rules)]
    if not rows or predictor.model.head.scores_are_counts:
        return {}
    if len(rows) < len(queries):
        encoded = replace(encoded, histories=[encoded.histories[row] for row in rows], hidden=encoded.hidden[rows])
    pickable = [queries[row] for row in rows]
    answers = pick_answers(pickable, serving.filters, partial(open_ruled_search, predictor, encoded))
    return {} if answers is None else dict(zip(rows, answers, strict=True))


def _read_query(serving: SearchSpace, histories: KnownHistories, row: int) -> RuledQuery:
    query = histories.queries[row]
    assert query.rules is not None
    allowed = build_allow_mask(serving, query.candidates, query.categories, query.item_filter)
    return RuledQuery(query.rules, query.k, allowed, histories.find_excluded(row))


def _start_ranking(serving: SearchSpace, predictor: AnyPredictor, query: RuledQuery) -> RuledRanking:
    return RuledRanking(
        query.rules,
        query.k,
        serving.filters,
        allowed=query.allowed,
        excluded=query.excluded,
        tiers=(multiply_odds if predictor.model.head.scores_are_counts else add_logits,),
        get_vectors=predictor.get_vectors,
        shown=find_shown(query.rules, serving.catalogue.keys, serving.catalogue.num_items),
    )
