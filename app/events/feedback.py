"""Events as feedback on an answer: counted in click-through, and remembered for rotation."""

from collections.abc import Sequence

from app.events.schemas import EventFeedback
from app.feedback.counter import FeedbackCounter
from app.feedback.impressions import ImpressionRecorder
from app.stores.records import NewEvent

COUNTS = "it counts as feedback on its recommendation"
NAMES_NONE = "without recommendation_id it is no feedback either"
COUNTS_NOT = "nor does it count as feedback on its recommendation"
IS_FOREIGN = f"{COUNTS_NOT}: no service with these signing keys has made the recommendation_id"


async def take_feedback(
    events: Sequence[NewEvent], counter: FeedbackCounter | None, recorder: ImpressionRecorder | None
) -> list[EventFeedback | None]:
    """Count and remember the events that are feedback; None for one that is not, or names no recommendation."""
    if counter is None:
        return [None] * len(events)
    counted = await counter.count(events)
    remembered = [False] * len(events) if recorder is None else await recorder.record(events)
    results: list[EventFeedback | None] = []
    for event, is_counted, is_remembered in zip(events, counted, remembered, strict=True):
        kind = None if event.recommendation_id is None else counter.find_kind(event.type)
        feedback = None if kind is None else EventFeedback(kind=kind, counted=is_counted, remembered=is_remembered)
        results.append(feedback)
    return results


def explain_ignored(
    reason: str, event: NewEvent, feedback: EventFeedback | None, counter: FeedbackCounter | None
) -> str:
    """Complete the reason why an event is not in a history by what it does as feedback."""
    if counter is None or counter.find_kind(event.type) is None:
        return reason
    if feedback is None:
        return f"{reason}; {NAMES_NONE}"
    if feedback.counted:
        return f"{reason}; {COUNTS}"
    is_foreign = event.recommendation_id is not None and not counter.is_ours(event.recommendation_id)
    return f"{reason}; {IS_FOREIGN if is_foreign else COUNTS_NOT}"
