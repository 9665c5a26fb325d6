"""Parts that all kinds of answers share: a bounded number of items, their details on request, and counts."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.errors import InvalidRequest
from app.inference import TopItems
from app.live_catalogue.details import ItemDetails
from app.recommend.store_budget import StoreBudget
from app.rules.settings import ItemField
from app.stores.item_records import ItemRecord
from app.telemetry.metrics import get_recommendation_counter
from app.telemetry.new_item_metrics import count_new_items


def check_k(k: int, max_k: int) -> None:
    if k > max_k:
        raise InvalidRequest.for_field("k", f"must be at most {max_k} (NEXTUP_MAX_K), got {k}")


class AnswerParams(Protocol):
    """The details of each item that a request asks for."""

    @property
    def explain(self) -> bool: ...
    @property
    def include(self) -> Sequence[ItemField]: ...


async def read_details(
    details: ItemDetails, params: AnswerParams, top: TopItems, budget: StoreBudget
) -> Mapping[str, ItemRecord]:
    """Read the live records of the items if the request wants titles or categories."""
    if not params.include and not params.explain:
        return {}
    records = await details.read(top.item_ids, budget.start())
    budget.stop()
    return records


def count_answer(top: TopItems, reason: str | None) -> None:
    """Count a recommendation by its source, and its new items."""
    get_recommendation_counter(top.source, reason or "").increment()
    if top.new_item_ids:
        count_new_items(len(top.new_item_ids))
