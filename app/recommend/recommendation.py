"""The answer to one request, before it is encoded."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.feedback.recommendation_ids import AnsweredVariant
from app.inference import TopItems
from app.recommend.answer_parts import AnswerParams
from app.stores.item_records import ItemRecord


@dataclass(slots=True)
class Recommendation:
    """Answer to one request.

    `params` are the details of each item that the request asks for, with the settings of its placement.
    `reason` is None when the model answered; `history_version` is None when the request contains its history. `details`
    are live records by item id, as far as the request wants titles or categories. `next_cursor` belongs to a page: None
    on the last one. `variant` is None for a user in no experiment.
    """

    recommendation_id: str
    params: AnswerParams
    top: TopItems
    reason: str | None
    history_length: int
    history_version: int | None
    unknown_items: list[str]
    details: Mapping[str, ItemRecord]
    is_page: bool = False
    next_cursor: str | None = None
    variant: AnsweredVariant | None = None
