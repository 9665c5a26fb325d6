"""Answers of an artifact without a service, by the code that serves requests."""

from pathlib import Path
from typing import Any

from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.servable import Servable
from app.model_repository.repository import ModelRepository
from app.recommend.fast_responses import build_items
from app.recommend.schemas import RecommendRequest
from models.artifact import load_artifact


def answer_directly(folder: Path, query: Query | SimilarQuery) -> tuple[TopItems, list[dict[str, Any]]]:
    """Answer a query with an artifact, or with the target version of a folder of versions; also return its items."""
    servable = Servable(load_artifact(ModelRepository(folder).find_target_folder(), device="auto"))
    (answer,) = servable.run_batch([query])
    if isinstance(answer, Exception):
        raise answer
    return answer, build_items(answer, RecommendRequest(history=[], include=["title", "categories"]), {})
