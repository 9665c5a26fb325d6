"""Marks of feedback in Redis: what was counted of a recommendation, so that all workers count it once."""

from collections.abc import Mapping, Sequence

from app.stores.keys import build_feedback_key
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, make_pipeline
from app.stores.redis.pipelines import PipelineLimits
from models.catalogue.item_key import item_key

MAX_IN_FLIGHT = 8
MAX_MARKS = 2_000
"""Most marks of one recommendation: an answer has at most 1,000 items, most of which are only shown."""


def make_mark(kind: str, item_id: str) -> bytes:
    """Make the mark of an item that was shown, clicked or converted: 10 bytes."""
    return kind[:2].encode() + item_key(item_id)


def make_answer_mark(kind: str) -> bytes:
    """Make the mark of an answer of which any item was shown, clicked or converted."""
    return kind[:2].encode() + b":answer"


class FeedbackMarks:
    def __init__(self, client: RedisClient, *, wait_s: float, lifetime_s: int) -> None:
        """A set of marks expires `lifetime_s` after its first one.

        An operation waits at most `wait_s` for a connection, and as long for its round trip, retries included.
        """
        self._pipeline = make_pipeline(client, PipelineLimits(send_s=wait_s))
        self._limiter = ConcurrencyLimiter(max_in_flight=MAX_IN_FLIGHT, wait_s=wait_s)
        self._script = Script("feedback_marks.lua")
        self._lifetime_ms = 1000 * lifetime_s

    async def add(self, marks: Mapping[bytes, Sequence[bytes]]) -> dict[bytes, list[bytes]]:
        """Add the marks of each recommendation, and return those that are new.

        Recommendations whose node of a cluster does not answer are left out; the error of the first one is raised if
        none is left, StoreUnavailable without Redis.
        """
        calls = [
            ([build_feedback_key(nonce)], [self._lifetime_ms, MAX_MARKS, *members]) for nonce, members in marks.items()
        ]
        async with self._limiter.slot("feedback") as operation:
            replies = await self._script.run_each(self._pipeline, calls)
            errors = [reply for reply in replies if isinstance(reply, Exception)]
            if errors and len(errors) == len(replies):
                raise errors[0]
            operation.partially_failed = bool(errors)
        return {
            nonce: [members[position] for position in positions]
            for (nonce, members), positions in zip(marks.items(), replies, strict=True)
            if not isinstance(positions, Exception)
        }
