"""A recommendation: a history, the model's answer to it, and what is answered where one of the two is missing.

The ladder, each step told in `served_by` and `reason`: the model; popularity for a user without history
(unknown_user), for a history of items that the model does not know (no_known_items), when the model's queue is full
(overloaded) or its process is away (model_unavailable), and when Redis does not answer (store_unavailable); not,
though, for who asks to read their own writes. Past its deadline a request gets an error, because nobody waits for the
answer. Filters that leave nothing give no items (no_eligible_items). A `find_popular_items` artifact is a model like any other and
serves as "model". It knows no HTTP.
"""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.errors import HistoryBehind, InvalidRequest, ModelUnavailable, Overloaded, StoreUnavailable
from app.inference import Engine, Query, SimilarQuery, TopItems, compute_queue_s
from app.item_key import ItemKeys, item_keys
from app.recommend.fast_schema import RecommendParams
from app.recommend.schemas import SimilarRequest
from app.recommend.unknown_items import MAX_NAMED_ITEMS, UnknownItemResolver
from app.stores.history import HistoryStore
from app.stores.results import EMPTY_HISTORY, StoredHistory
from app.telemetry.metrics import HISTORY_LENGTH, get_recommendation_counter
from app.telemetry.random_id import random_id
from app.telemetry.request_context import CURRENT_TRACE, Stage

NO_KEYS: ItemKeys = np.empty(0, dtype="<u8")


@dataclass(slots=True)
class Recommendation:
    """`reason` is None when the model answered; `history_version` is None when the history came with the request."""

    top: TopItems
    reason: str | None
    history_length: int
    history_version: int | None
    unknown_items: list[str]
    recommendation_id: str = field(default_factory=random_id)


class RecommendService:
    def __init__(self, store: HistoryStore, engine: Engine, *, max_k: int) -> None:
        self._store = store
        self._engine = engine
        self._unknown_items = UnknownItemResolver(store, lambda item_id: item_id in engine.servable.catalogue)
        self._max_k = max_k

    async def recommend(
        self, request: RecommendParams, deadline: float, stages: dict[str, Stage] | None = None
    ) -> Recommendation:
        """`stages`, if given, takes the time of each stage; of `respond` only the begin, for who measures the rest."""
        times: dict[str, Stage] = {} if stages is None else stages
        self._check_k(request.k)
        stored, reason = await self._history(request, deadline, times)
        keys = stored.item_keys if request.history is None else item_keys(request.history)
        HISTORY_LENGTH.observe(len(keys))
        query = Query(
            history=keys,
            k=request.k,
            exclude_seen=request.exclude_seen,
            exclude=_keys(request.exclude),
            candidates=None if request.candidates is None else _keys(request.candidates),
            categories=tuple(request.categories),
            times=stored.times if request.history is None else None,
            trace=CURRENT_TRACE.get(),
        )
        top, reason = await self._answer(query, reason, deadline, times)
        get_recommendation_counter(top.source, reason or "").inc()
        unknown = await self._unknown(request, keys, top.unknown_positions, deadline)
        times["respond"] = time.perf_counter(), 0.0
        version = stored.version if request.history is None else None
        return Recommendation(top, reason, len(keys), version, unknown)

    async def similar(
        self, request: SimilarRequest, deadline: float, stages: dict[str, Stage] | None = None
    ) -> TopItems:
        times: dict[str, Stage] = {} if stages is None else stages
        self._check_k(request.k)
        query = SimilarQuery(
            request.item_id, request.k, _keys(request.exclude), tuple(request.categories), CURRENT_TRACE.get()
        )
        asked_at = time.perf_counter()
        top = await self._engine.find_top_items(query, deadline)
        queue_s = compute_queue_s(asked_at, top)
        times["queue"] = asked_at, queue_s
        times["score"] = asked_at + queue_s, top.score_s
        times["respond"] = time.perf_counter(), 0.0
        return top

    async def _history(
        self, request: RecommendParams, deadline: float, times: dict[str, Stage]
    ) -> tuple[StoredHistory, str | None]:
        """The stored history, and why the model cannot be asked about it."""
        if request.history is not None or request.user_id is None:
            return EMPTY_HISTORY, None if request.history else "no_known_items"
        began = time.perf_counter()
        try:
            stored = await self._store.read_recent(request.user_id, deadline)
        except (StoreUnavailable, Overloaded):
            if request.min_history_version:
                raise
            return EMPTY_HISTORY, "store_unavailable"
        times["store"] = began, time.perf_counter() - began
        if request.min_history_version is not None and stored.version < request.min_history_version:
            raise HistoryBehind(f"the stored history has version {stored.version}, not {request.min_history_version}")
        return stored, None if len(stored.entries) else "unknown_user"

    async def _answer(
        self, query: Query, reason: str | None, deadline: float, times: dict[str, Stage]
    ) -> tuple[TopItems, str | None]:
        if reason is not None:
            return self._engine.find_popular_items(query), reason
        asked_at = time.perf_counter()
        try:
            top = await self._engine.find_top_items(query, deadline)
        except Overloaded:
            return self._engine.find_popular_items(query), "overloaded"
        except ModelUnavailable:
            return self._engine.find_popular_items(query), "model_unavailable"
        queue_s = compute_queue_s(asked_at, top)
        began = asked_at + queue_s  # of the batch: its stages are those of each query in it
        times["queue"] = asked_at, queue_s
        times["encode"] = began, top.encode_s
        times["score"] = began + top.encode_s, top.score_s
        if top.source == "popularity":
            return top, "no_known_items"
        return top, None if top.indices else "no_eligible_items"

    async def _unknown(
        self, request: RecommendParams, keys: ItemKeys, places: NDArray[np.int64], deadline: float
    ) -> list[str]:
        if not len(places):
            return []
        if request.history is not None:
            return list(dict.fromkeys(request.history[place] for place in places.tolist()))[:MAX_NAMED_ITEMS]
        assert request.user_id is not None
        return await self._unknown_items.resolve(request.user_id, keys[places], deadline)

    def _check_k(self, k: int) -> None:
        if k > self._max_k:
            raise InvalidRequest(f"k: at most {self._max_k} (NEXTUP_MAX_K), not {k}")


def _keys(item_ids: list[str]) -> ItemKeys:
    return item_keys(item_ids) if item_ids else NO_KEYS
