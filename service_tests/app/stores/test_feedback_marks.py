"""Marks of feedback: each is new once, and a recommendation that cannot be marked harms no other one."""

import secrets

import pytest

from app.errors import StoreUnavailable
from app.stores.feedback_marks import FeedbackMarks, make_mark
from app.stores.keys import build_feedback_key
from app.stores.redis.client import RedisClient

pytestmark = pytest.mark.anyio


async def test_recommendation_that_cannot_be_marked_is_left_out(redis_client: RedisClient) -> None:
    marks = FeedbackMarks(redis_client, wait_s=10.0, lifetime_s=60)
    good, damaged = secrets.token_bytes(6), secrets.token_bytes(6)
    click = make_mark("click", "i1")
    await redis_client.set(build_feedback_key(damaged), b"no set", ex=60)
    assert await marks.add({damaged: [click], good: [click]}) == {good: [click]}
    assert await marks.add({damaged: [click], good: [click]}) == {good: []}, "marked before"
    with pytest.raises(StoreUnavailable):
        await marks.add({damaged: [click]})
