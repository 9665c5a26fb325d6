"""Recommendations: the model's answer to a history, or the best source that is left without history or model.

Responses report their source in `served_by` and `reason`. The service answers with the model if it can, with popular
items
- for a user without history (unknown_user),
- for a history without items of the model's catalogue (no_known_items),
- for a history that is damaged (damaged_history),
and from the ladder in `ladder.py` (cached answer, item neighbours, popular items)
- when the model's queue is full or the deadline cannot be met (overloaded),
- when the model fails or does not respond (model_unavailable),
- when Redis does not respond in its share of the deadline (store_unavailable), unless the request requires
  read-your-writes.
A request past its deadline fails. Filters that exclude every item return no items (no_eligible_items). Answers of a
`popular` artifact are reported as "model" too.
"""

import time

import numpy as np
from numpy.typing import NDArray

from app.errors import (
    ModelUnavailable,
    Overloaded,
)
from app.experiment_state.assignment import Assignment
from app.experiment_state.follower import ExperimentFollower
from app.feedback.recommendation_ids import RecommendationIds
from app.inference import AnswerCache, Query, TopItems, compute_queue_s
from app.inference.model_circuit import ModelCircuit
from app.live_catalogue.details import ItemDetails
from app.recommend.answer_parts import check_k, count_answer, read_details
from app.recommend.fast_schema import RecommendParams
from app.recommend.history_read import read_history
from app.recommend.ladder import AnswerLadder
from app.recommend.paging import Page, Pager
from app.recommend.placements import complete_request
from app.recommend.queries import build_query
from app.recommend.recommendation import Recommendation
from app.recommend.rotation import Rotation
from app.recommend.store_budget import StoreBudget
from app.recommend.unknown_items import MAX_NAMED_ITEMS, UnknownItemResolver
from app.recommend.variants import describe_variant
from app.rules.follower import PlacementFollower
from app.rules.reader import RuleReader
from app.stores.history import HistoryStore
from app.stores.results import StoredHistory
from app.telemetry.metrics import HISTORY_LENGTH
from app.telemetry.request_context import Stage
from models.catalogue.item_key import ItemKeys


class RecommendService:
    def __init__(
        self,
        store: HistoryStore,
        model: ModelCircuit,
        ladder: AnswerLadder,
        cache: AnswerCache,
        pager: Pager,
        ids: RecommendationIds,
        details: ItemDetails,
        rules: RuleReader,
        placements: PlacementFollower,
        experiments: ExperimentFollower,
        rotation: Rotation,
        *,
        max_k: int,
        store_share: float,
    ) -> None:
        """`store_share` is the share of a request's deadline that reads of the store may take in total."""
        self._store = store
        self._model = model
        self._ladder = ladder
        self._cache = cache
        self._pager = pager
        self._ids = ids
        self._details = details
        self._rules = rules
        self._placements = placements
        self._experiments = experiments
        self._rotation = rotation
        self._unknown_items = UnknownItemResolver(store)
        self._max_k = max_k
        self._store_share = store_share

    async def recommend(
        self,
        request: RecommendParams,
        deadline: float,
        stages: dict[str, Stage] | None = None,
        version: str | None = None,
    ) -> Recommendation:
        """Recommend items; ServiceError after the deadline, for an invalid request, or for a stale history.

        `stages` receives the time of each stage; for `respond` only its start, because the middleware measures it.
        `version` replaces that of an experiment.
        """
        times: dict[str, Stage] = {} if stages is None else stages
        page, assignment = self._open_page(request, version)
        request = page.request
        item_filter, rules = self._rules.read(request, len(page.shown))
        budget = StoreBudget(deadline, self._store_share)
        erasures = self._cache.erasures
        stored, reason = await read_history(self._store, request, budget, times)
        if request.rotate is not None:
            rules = await self._rotation.apply(rules, request, budget)
        served_version = version if assignment is None else assignment.variant.version
        query, exclude = await build_query(page, stored, item_filter, rules, served_version)
        HISTORY_LENGTH.observe(len(query.history))
        is_page = request.paginate or request.cursor is not None
        fingerprints = self._pager.check_filters(page, query, exclude) if is_page else None
        user_id = request.user_id if request.history is None else None
        cached_user = None if request.min_history_version else user_id  # a cached answer may be older
        top, reason = await self._answer(query, cached_user, stored, reason, deadline, times)
        count_answer(top, reason)
        if user_id is not None and version is None:
            self._update_cache(user_id, query, top, reason, stored.version, erasures, is_later_page=len(page.shown) > 0)
        unknown = await self._resolve_unknown(request, query.history, top.unknown_positions, budget)
        details = await read_details(self._details, request, top, budget)
        times["respond"] = time.perf_counter(), 0.0
        next_cursor = None if fingerprints is None else self._pager.make_cursor(page, top, fingerprints)
        variant = None if assignment is None else describe_variant(assignment, query, top, reason, self._placements)
        return Recommendation(
            recommendation_id=self._ids.make(top.version, top.source, variant),
            params=request,
            top=top,
            reason=reason,
            history_length=len(query.history),
            history_version=stored.version if request.history is None else None,
            unknown_items=unknown,
            details=details,
            is_page=is_page,
            next_cursor=next_cursor,
            variant=variant,
        )

    def _open_page(self, request: RecommendParams, version: str | None) -> tuple[Page, Assignment | None]:
        """Complete a request by its cursor and placement, and find the variant of its user, none with a version."""
        page = self._pager.open(request)
        user_id = page.request.user_id if version is None else None
        assignment = self._experiments.assign(user_id, page.request.placement)
        replacement = None if assignment is None else assignment.variant.placement
        page = page.complete(complete_request(page.request, self._placements, replacement))
        check_k(page.request.k, self._max_k)
        return page, assignment

    async def _answer(
        self,
        query: Query,
        user_id: str | None,
        stored: StoredHistory,
        reason: str | None,
        deadline: float,
        times: dict[str, Stage],
    ) -> tuple[TopItems, str | None]:
        if reason == "store_unavailable":
            return await self._ladder.find_items(query, user_id, None), reason
        if reason is not None:
            return await self._ladder.find_popular(query), reason
        submitted_at = time.perf_counter()
        try:
            top = await self._model.find_top_items(query, deadline)
        except Overloaded:
            return await self._ladder.find_items(query, user_id, stored.version), "overloaded"
        except ModelUnavailable:
            return await self._ladder.find_items(query, user_id, stored.version), "model_unavailable"
        queue_s = compute_queue_s(submitted_at, top)
        batch_started_at = submitted_at + queue_s  # each query reports the stages of its batch
        times["queue"] = submitted_at, queue_s
        times["encode"] = batch_started_at, top.encode_s
        times["score"] = batch_started_at + top.encode_s, top.score_s
        if top.source == "popularity":
            return top, "no_known_items"
        return top, None if top.indices else "no_eligible_items"

    def _update_cache(
        self,
        user_id: str,
        query: Query,
        top: TopItems,
        reason: str | None,
        history_version: int,
        erasures: int,
        *,
        is_later_page: bool,
    ) -> None:
        """Keep an answer of the model that is right for other requests of the user, after their own filters."""
        if reason == "unknown_user":
            self._cache.discard(user_id)
        is_filtered = query.candidates is not None or bool(query.categories) or query.item_filter is not None
        is_filtered |= not query.exclude_seen or query.rules is not None
        top = top.without_new_items()  # the next version may know them under other indices
        if top.source == "model" and not is_filtered and not is_later_page:
            self._cache.put(user_id, top, query.history, history_version, erasures=erasures)

    async def _resolve_unknown(
        self, request: RecommendParams, keys: ItemKeys, positions: NDArray[np.int64], budget: StoreBudget
    ) -> list[str]:
        if not len(positions):
            return []
        if request.history is not None:
            return list(dict.fromkeys(request.history[position] for position in positions.tolist()))[:MAX_NAMED_ITEMS]
        assert request.user_id is not None
        names = await self._unknown_items.resolve(request.user_id, keys[positions], budget.start())
        budget.stop()
        return names
