"""Remembers what was shown to users and clicked, from the events that say so, for answers that rotate."""

import time
from collections import defaultdict
from collections.abc import Sequence

from app.errors import DeadlineExceeded, Overloaded, StoreUnavailable
from app.feedback_kinds import FeedbackKinds
from app.settings import Settings
from app.stores.impressions import Impression, ImpressionStore
from app.stores.records import NewEvent
from app.stores.redis.client import RedisClient


class ImpressionRecorder:
    """Records impressions, clicks and conversions that name their recommendation, as feedback is counted."""

    def __init__(self, store: ImpressionStore, kinds: FeedbackKinds) -> None:
        self.store = store
        self._kinds = kinds

    @classmethod
    def from_settings(cls, client: RedisClient, settings: Settings) -> "ImpressionRecorder | None":
        """Build a recorder; None if NEXTUP_IMPRESSION_MINUTES is 0."""
        if not settings.impression_minutes:
            return None
        wait_s = settings.redis_timeout_ms / 1000
        store = ImpressionStore(client, wait_s=wait_s, lifetime_s=60 * settings.impression_minutes)
        return cls(store, FeedbackKinds(settings.feedback_types))

    async def record(self, events: Sequence[NewEvent]) -> list[bool]:
        """Record the events that are feedback, and return for each event whether it is remembered.

        None is while Redis is away, because rotation is only a preference.
        """
        now_s = int(time.time())
        by_user: dict[str, list[Impression]] = defaultdict(list)
        remembered = []
        for event in events:
            kind = self._kinds.find(event.type)
            remembered.append(kind is not None and event.recommendation_id is not None)
            if kind is not None and event.recommendation_id is not None:
                time_s = min(event.timestamp_ms // 1000, now_s)
                by_user[event.user_id].append(Impression(event.item_id, time_s, is_click=kind != "impression"))
        if by_user:
            try:
                await self.store.add(by_user)
            except (StoreUnavailable, Overloaded, DeadlineExceeded):
                return [False] * len(events)
        return remembered

    async def close(self) -> None:
        await self.store.close()
