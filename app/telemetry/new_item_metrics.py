"""Metrics of items that the serving version was not trained on: in answers, and in what came of them."""

from prometheus_client import Counter

from app.feedback_kinds import KINDS

NEW_ITEM_ANSWERS = Counter(
    "nextup_new_item_answers", "Recommendations that have an item that the serving version was not trained on."
)
NEW_ITEMS = Counter("nextup_new_items_recommended", "Items of recommendations that the version was not trained on.")
NEW_ITEM_FEEDBACK = Counter(
    "nextup_new_item_feedback", "Part of nextup_feedback_total that belongs to such items.", ["kind"]
)
for _kind in KINDS:
    NEW_ITEM_FEEDBACK.labels(_kind)  # a rate needs the zero before the first click


def count_new_items(number: int) -> None:
    """Count an answer with this many new items."""
    NEW_ITEM_ANSWERS.inc()
    NEW_ITEMS.inc(number)
