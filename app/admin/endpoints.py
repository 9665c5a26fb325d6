"""GET /models: the version that serves."""

from typing import Annotated

from fastapi import APIRouter, Depends

from app.admin.schemas import Version, Versions
from app.dependencies import state
from app.inference import InferenceEngine
from app.problems import declared

router = APIRouter(tags=["models"])
Engine = Annotated[InferenceEngine, Depends(state("engine"))]


@router.get("/models", responses=declared(500))
async def models(engine: Engine) -> Versions:
    """Every version that is loaded; one, as long as a process serves one."""
    servable = engine.servable
    artifact, predictor = servable.artifact, servable.artifact.predictor
    version = Version(
        version=artifact.version,
        preset=artifact.preset,
        active=True,
        device=predictor.device,
        dtype=predictor.dtype,
        runner=predictor.runner.name,
        num_items=artifact.catalogue.num_items,
        max_len=predictor.max_len,
        created=artifact.manifest["created"],
        figures=artifact.manifest["figures"],
        bytes=servable.bytes_by_part(),
        scoring=predictor.scoring,
    )
    return Versions(models=[version])
