"""Builds the service behind /recommend from the resources of the application."""

from collections.abc import Sequence

from app.experiment_state.follower import ExperimentFollower
from app.feedback.impressions import ImpressionRecorder
from app.feedback.recommendation_ids import RecommendationIds
from app.inference import AnswerCache, Engine
from app.inference.model_circuit import ModelCircuit
from app.live_catalogue.details import ItemDetails
from app.recommend.ladder import AnswerLadder
from app.recommend.paging import Pager
from app.recommend.rotation import Rotation
from app.recommend.service import RecommendService
from app.rules.follower import PlacementFollower
from app.rules.reader import RuleReader
from app.settings import Settings
from app.stores.history import HistoryStore


def build_recommend_service(
    store: HistoryStore,
    engine: Engine,
    model: ModelCircuit,
    cache: AnswerCache,
    details: ItemDetails,
    rules: RuleReader,
    placements: PlacementFollower,
    experiments: ExperimentFollower,
    impressions: ImpressionRecorder | None,
    settings: Settings,
    signing_keys: Sequence[bytes],
) -> RecommendService:
    """Build the service; without `impressions` no answer rotates."""
    return RecommendService(
        store,
        model,
        AnswerLadder(engine, cache),
        cache,
        Pager(signing_keys, lifetime_s=settings.cursor_lifetime_s),
        RecommendationIds(signing_keys),
        details,
        rules,
        placements,
        experiments,
        Rotation(None if impressions is None else impressions.store),
        max_k=settings.max_k,
        store_share=settings.store_deadline_share,
    )
