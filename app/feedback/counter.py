"""Counts impressions, clicks and conversions by version, source and position: each item of an answer once per kind.

Events are attributed by the signed id of their recommendation alone; events without one, or with a foreign one, are not
counted, nor are those of load generators. Redis remembers for NEXTUP_FEEDBACK_WINDOW_S what was counted, so that an
event that is sent again, or through another worker, changes nothing. Answers of an experiment are counted in Redis as
well, for its comparison. While Redis is away nothing is counted, and the events themselves are not affected.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from app.errors import DeadlineExceeded, Overloaded, StoreUnavailable
from app.feedback.recommendation_ids import Attribution, RecommendationIds
from app.feedback_kinds import FeedbackKinds, Kind
from app.inference import Engine
from app.settings import Settings
from app.stores.experiments import Counts, ExperimentStore
from app.stores.feedback_marks import FeedbackMarks, make_answer_mark, make_mark
from app.stores.records import NewEvent
from app.stores.redis.client import RedisClient
from app.synthetic_users import is_synthetic
from app.telemetry.feedback import count_feedback, count_uncounted, count_variant_feedback
from app.telemetry.new_item_metrics import NEW_ITEM_FEEDBACK

REDIS_AWAY = (StoreUnavailable, Overloaded, DeadlineExceeded)


class _Feedback(NamedTuple):
    """`position` is that of the item; `is_answer` marks the first feedback of a kind on an answer of an experiment."""

    kind: Kind
    attribution: Attribution
    mark: bytes
    position: int | None = None
    is_answer: bool = False
    is_new: bool = False


class FeedbackCounter:
    def __init__(
        self,
        ids: RecommendationIds,
        kinds: FeedbackKinds,
        marks: FeedbackMarks,
        experiments: ExperimentStore,
        engine: Engine | None = None,
    ) -> None:
        """Without an engine, as in `nextup consume`, no item counts as new to the serving version."""
        self._ids = ids
        self._engine = engine
        self._kinds = kinds
        self._marks = marks
        self._experiments = experiments

    @classmethod
    def from_settings(
        cls,
        client: RedisClient,
        settings: Settings,
        signing_keys: Sequence[bytes],
        engine: Engine | None = None,
    ) -> "FeedbackCounter":
        """Build a counter; each of at most two calls waits at most twice NEXTUP_REDIS_TIMEOUT_MS for Redis."""
        wait_s = settings.redis_timeout_ms / 1000
        marks = FeedbackMarks(client, wait_s=wait_s, lifetime_s=settings.feedback_window_s)
        experiments = ExperimentStore(client, wait_s=wait_s)
        return cls(RecommendationIds(signing_keys), FeedbackKinds(settings.feedback_types), marks, experiments, engine)

    def find_kind(self, event_type: str | None) -> Kind | None:
        """Return the kind of feedback that events of a type are; None if they are none."""
        return self._kinds.find(event_type)

    def is_ours(self, recommendation_id: str) -> bool:
        """Whether a service with the same signing keys has made the id."""
        return self._ids.read(recommendation_id) is not None

    async def count(self, events: Sequence[NewEvent]) -> list[bool]:
        """Count those events that are feedback and were not counted before.

        Returns for each event whether it counts, now or already. While Redis is away none does.
        """
        by_recommendation: dict[bytes, dict[bytes, _Feedback]] = defaultdict(dict)
        nonces: list[bytes | None] = []
        for event in events:
            attributed = self._attribute(event)
            nonces.append(attributed[0].attribution.nonce if attributed else None)
            for feedback in attributed:
                by_recommendation[feedback.attribution.nonce].setdefault(feedback.mark, feedback)
        if not by_recommendation:
            return [False] * len(events)
        try:
            new = await self._marks.add({nonce: list(marks) for nonce, marks in by_recommendation.items()})
        except REDIS_AWAY:
            new = {}
        count_uncounted(sum(len(marks) for nonce, marks in by_recommendation.items() if nonce not in new))
        added = [by_recommendation[nonce][mark] for nonce, marks in new.items() for mark in marks]
        _count_items(added)
        await self._count_answers(added)
        return [nonce in new for nonce in nonces]

    async def _count_answers(self, added: Sequence[_Feedback]) -> None:
        """Count the answers that got feedback for their experiments; those that Redis does not take are uncounted."""
        if not (answers := _sum_answers(added)):
            return
        try:
            await self._experiments.add_counts(answers)
        except REDIS_AWAY:
            count_uncounted(sum(feedback.is_answer for feedback in added))

    def _attribute(self, event: NewEvent) -> list[_Feedback]:
        """Return the feedback on an item, and on its whole answer if that belongs to an experiment."""
        kind = self._kinds.find(event.type)
        if kind is None or event.recommendation_id is None or is_synthetic(event.user_id):
            return []
        attribution = self._ids.read(event.recommendation_id)
        if attribution is None:
            return []
        is_new = self._engine is not None and event.item_id not in self._engine.servable.catalogue
        feedback = [_Feedback(kind, attribution, make_mark(kind, event.item_id), event.position, is_new=is_new)]
        if attribution.variant is not None and attribution.variant.is_served:
            feedback.append(_Feedback(kind, attribution, make_answer_mark(kind), is_answer=True))
        return feedback


def _count_items(added: Sequence[_Feedback]) -> None:
    for kind, attribution, _, position, is_answer, is_new in added:
        if is_answer:
            continue
        count_feedback(kind, attribution.model_version, attribution.source, position)
        if is_new:
            NEW_ITEM_FEEDBACK.labels(kind).inc()
        if (variant := attribution.variant) is not None and variant.is_served:
            count_variant_feedback(kind, variant.experiment, variant.name)


def _sum_answers(added: Sequence[_Feedback]) -> list[Counts]:
    """Sum the answers of each experiment that got feedback, by variant, kind and group of users."""
    sums: dict[tuple[str, int], dict[str, float]] = defaultdict(lambda: defaultdict(int))
    for feedback in added:
        variant = feedback.attribution.variant
        if feedback.is_answer and variant is not None:
            amounts = sums[variant.experiment, feedback.attribution.time_s]
            amounts[format_count_field(variant.name, feedback.kind, variant.group)] += 1
    return [Counts(name, 1000 * time_s + 999, amounts) for (name, time_s), amounts in sums.items()]


def format_count_field(variant: str, kind: str, group: int) -> str:
    """Name the count of answers of a variant that got feedback of a kind from a group of users."""
    return f"{variant}:{kind}:{group}"
