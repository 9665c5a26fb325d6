"""Items similar to an item, by the vectors of the model."""

import time
from collections.abc import Mapping

from app.inference import SimilarQuery, TopItems, compute_queue_s
from app.inference.model_circuit import ModelCircuit
from app.live_catalogue.details import ItemDetails
from app.recommend.answer_parts import check_k, read_details
from app.recommend.request_keys import compute_keys
from app.recommend.schemas import SimilarRequest
from app.recommend.store_budget import StoreBudget
from app.rules.request_filter import FilterReader
from app.stores.item_records import ItemRecord
from app.telemetry.request_context import CURRENT_TRACE, Stage


class SimilarService:
    def __init__(
        self, model: ModelCircuit, details: ItemDetails, filters: FilterReader, *, max_k: int, store_share: float
    ) -> None:
        """`store_share` is the share of a request's deadline that reads of the store may take in total."""
        self._model = model
        self._details = details
        self._filters = filters
        self._max_k = max_k
        self._store_share = store_share

    async def find(
        self, request: SimilarRequest, deadline: float, stages: dict[str, Stage]
    ) -> tuple[TopItems, Mapping[str, ItemRecord]]:
        """Find similar items, and their live records as far as the request wants titles or categories.

        `stages` receives the time of each stage; for `respond` only its start.
        """
        check_k(request.k, self._max_k)
        exclude = await compute_keys(request.exclude)
        query = SimilarQuery(
            request.item_id,
            request.k,
            exclude,
            tuple(request.categories),
            self._filters.read(request.filter),
            CURRENT_TRACE.get(),
        )
        submitted_at = time.perf_counter()
        top = await self._model.find_top_items(query, deadline)
        queue_s = compute_queue_s(submitted_at, top)
        stages["queue"] = submitted_at, queue_s
        stages["score"] = submitted_at + queue_s, top.score_s
        details = await read_details(self._details, request, top, StoreBudget(deadline, self._store_share))
        stages["respond"] = time.perf_counter(), 0.0
        return top, details
