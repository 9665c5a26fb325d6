"""The query that a request asks of the model."""

import time

import numpy as np

from app.inference import Query
from app.inference.filters.expression import ItemFilter
from app.inference.rules import ItemRules
from app.recommend.paging import Page
from app.recommend.request_keys import NO_ITEMS, compute_keys
from app.recommend.timed_history import get_times
from app.stores.results import StoredHistory
from app.telemetry.request_context import CURRENT_TRACE
from models.catalogue.item_key import ItemKeys


async def build_query(
    page: Page, stored: StoredHistory, item_filter: ItemFilter | None, rules: ItemRules | None, version: str | None
) -> tuple[Query, ItemKeys]:
    """Build the query of a page, by the stored history unless the request has one; also return its excluded items.

    The query excludes the items of the pages before as well.
    """
    request = page.request
    exclude = await compute_keys(request.exclude) if request.exclude else NO_ITEMS
    query = Query(
        history=stored.item_keys if request.history is None else await compute_keys(request.history),
        k=page.k,
        exclude_seen=request.exclude_seen,
        exclude=np.concatenate([exclude, page.shown]) if len(page.shown) else exclude,
        candidates=None if request.candidates is None else await compute_keys(request.candidates),
        categories=tuple(request.categories),
        item_filter=item_filter,
        rules=rules,
        includes_new_items=request.cold_items == "include",
        times=stored.compute_times if request.history is None else get_times(request.history),
        request_time=int(time.time()),
        explain=request.explain,
        trace=CURRENT_TRACE.get(),
        version=version,
    )
    return query, exclude
