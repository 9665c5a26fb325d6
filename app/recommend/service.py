"""Recommendations: the model's answer to a history, or a popularity fallback when history or model is unavailable.

Responses report their source in `served_by` and `reason`. The service answers with the model if it can, and with
popular items
- for a user without history (unknown_user),
- for a history without items of the model's catalogue (no_known_items),
- when the model's queue is full or the deadline cannot be met (overloaded),
- when the model process does not respond (model_unavailable),
- when Redis does not respond (store_unavailable), unless the request requires read-your-writes.
A request past its deadline fails. Filters that exclude every item return no items (no_eligible_items). Answers of a
`popular` artifact are reported as "model" too.
"""

import logging
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.errors import (
    DamagedHistory,
    HistoryBehind,
    InvalidRequest,
    ModelUnavailable,
    Overloaded,
    ServiceError,
    StoreUnavailable,
)
from app.inference import Engine, Query, SimilarQuery, TopItems, compute_queue_s, find_popular_items
from app.recommend.fast_schema import RecommendParams
from app.recommend.schemas import SimilarRequest
from app.recommend.unknown_items import MAX_NAMED_ITEMS, UnknownItemResolver
from app.stores.errors import InvalidId
from app.stores.history import HistoryStore
from app.stores.results import EMPTY_HISTORY, StoredHistory
from app.telemetry.metrics import HISTORY_LENGTH, get_recommendation_counter
from app.telemetry.request_context import CURRENT_TRACE, Stage, generate_id
from models.catalogue.item_key import ItemKeys, item_keys

log = logging.getLogger("nextup")

NO_ITEMS: ItemKeys = np.empty(0, dtype="<u8")


@dataclass(slots=True)
class Recommendation:
    """Answer to one request.

    `reason` is None when the model answered; `history_version` is None when the request contains its history.
    """

    top: TopItems
    reason: str | None
    history_length: int
    history_version: int | None
    unknown_items: list[str]
    recommendation_id: str = field(default_factory=generate_id)


class RecommendService:
    def __init__(self, store: HistoryStore, engine: Engine, *, max_k: int) -> None:
        self._store = store
        self._engine = engine
        self._unknown_items = UnknownItemResolver(store, lambda item_id: item_id in engine.servable.catalogue)
        self._max_k = max_k

    async def recommend(
        self, request: RecommendParams, deadline: float, stages: dict[str, Stage] | None = None
    ) -> Recommendation:
        """Recommend items; ServiceError after the deadline, for an invalid request, or for a stale history.

        `stages` receives the time of each stage; for `respond` only its start, because the middleware measures it.
        """
        times: dict[str, Stage] = {} if stages is None else stages
        self._check_k(request.k)
        stored, reason = await self._read_history(request, deadline, times)
        keys = stored.item_keys if request.history is None else item_keys(request.history)
        HISTORY_LENGTH.observe(len(keys))
        query = Query(
            history=keys,
            k=request.k,
            exclude_seen=request.exclude_seen,
            exclude=_compute_keys(request.exclude),
            candidates=None if request.candidates is None else _compute_keys(request.candidates),
            categories=tuple(request.categories),
            times=stored.times if request.history is None else None,
            request_time=int(time.time()),
            trace=CURRENT_TRACE.get(),
        )
        top, reason = await self._answer(query, reason, deadline, times)
        get_recommendation_counter(top.source, reason or "").increment()
        unknown = await self._resolve_unknown(request, keys, top.unknown_positions, deadline)
        times["respond"] = time.perf_counter(), 0.0
        version = stored.version if request.history is None else None
        return Recommendation(top, reason, len(keys), version, unknown)

    async def find_similar(
        self, request: SimilarRequest, deadline: float, stages: dict[str, Stage] | None = None
    ) -> TopItems:
        times: dict[str, Stage] = {} if stages is None else stages
        self._check_k(request.k)
        query = SimilarQuery(
            request.item_id, request.k, _compute_keys(request.exclude), tuple(request.categories), CURRENT_TRACE.get()
        )
        submitted_at = time.perf_counter()
        top = await self._engine.find_top_items(query, deadline)
        queue_s = compute_queue_s(submitted_at, top)
        times["queue"] = submitted_at, queue_s
        times["score"] = submitted_at + queue_s, top.score_s
        times["respond"] = time.perf_counter(), 0.0
        return top

    async def _read_history(
        self, request: RecommendParams, deadline: float, times: dict[str, Stage]
    ) -> tuple[StoredHistory, str | None]:
        """Read the stored history; also return the reason if the model cannot answer for it."""
        if request.history is not None or request.user_id is None:
            return EMPTY_HISTORY, None if request.history else "no_known_items"
        started_at = time.perf_counter()
        try:
            stored = await self._store.read_recent(request.user_id, deadline)
        except InvalidId as error:
            raise InvalidRequest.for_field("user_id", str(error).removeprefix("user_id ")) from error
        except (StoreUnavailable, Overloaded):
            if request.min_history_version:
                raise
            return EMPTY_HISTORY, "store_unavailable"
        except DamagedHistory:
            if request.min_history_version:
                raise
            return EMPTY_HISTORY, "damaged_history"
        times["store"] = started_at, time.perf_counter() - started_at
        if request.min_history_version is not None and stored.version < request.min_history_version:
            raise HistoryBehind(
                f"the stored history has version {stored.version}, required: {request.min_history_version}; retry later"
            )
        return stored, None if len(stored.entries) else "unknown_user"

    async def _answer(
        self, query: Query, reason: str | None, deadline: float, times: dict[str, Stage]
    ) -> tuple[TopItems, str | None]:
        if reason is not None:
            return find_popular_items(self._engine.servable, query), reason
        submitted_at = time.perf_counter()
        try:
            top = await self._engine.find_top_items(query, deadline)
        except Overloaded:
            return find_popular_items(self._engine.servable, query), "overloaded"
        except ModelUnavailable:
            return find_popular_items(self._engine.servable, query), "model_unavailable"
        except ServiceError:
            raise
        except Exception:
            log.exception("the model failed; popular items are served instead")
            return find_popular_items(self._engine.servable, query), "model_unavailable"
        queue_s = compute_queue_s(submitted_at, top)
        batch_started_at = submitted_at + queue_s  # each query reports the stages of its batch
        times["queue"] = submitted_at, queue_s
        times["encode"] = batch_started_at, top.encode_s
        times["score"] = batch_started_at + top.encode_s, top.score_s
        if top.source == "popularity":
            return top, "no_known_items"
        return top, None if top.indices else "no_eligible_items"

    async def _resolve_unknown(
        self, request: RecommendParams, keys: ItemKeys, positions: NDArray[np.int64], deadline: float
    ) -> list[str]:
        if not len(positions):
            return []
        if request.history is not None:
            return list(dict.fromkeys(request.history[position] for position in positions.tolist()))[:MAX_NAMED_ITEMS]
        assert request.user_id is not None
        return await self._unknown_items.resolve(request.user_id, keys[positions], deadline)

    def _check_k(self, k: int) -> None:
        if k > self._max_k:
            raise InvalidRequest.for_field("k", f"must be at most {self._max_k} (NEXTUP_MAX_K), got {k}")


def _compute_keys(item_ids: list[str]) -> ItemKeys:
    return item_keys(item_ids) if item_ids else NO_ITEMS
