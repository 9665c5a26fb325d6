"""/experiments: two or more versions answer shares of the users, until one of them is activated."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.experiments.schemas import (
    MAX_NAME,
    NAME_PATTERN,
    ConcludeRequest,
    ExperimentRequest,
    ExperimentResults,
    Experiments,
    ExperimentState,
    RemovedExperiment,
)
from app.experiments.service import ExperimentService
from app.http.dependencies import get_state
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute

router = APIRouter(prefix="/experiments", tags=["experiments"], route_class=WholePathRoute)
Service = Annotated[ExperimentService, Depends(get_state("experiments"))]
Name = Annotated[str, Path(min_length=1, max_length=MAX_NAME, pattern=NAME_PATTERN)]


@router.get("", operation_id="list_experiments", responses=declare_errors(503))
async def experiments(service: Service) -> Experiments:
    """List all experiments, ended ones included."""
    return Experiments(experiments=await service.list_all())


@router.put("/{name}", operation_id="put_experiment", responses=declare_errors(409, 503))
async def put_experiment(name: Name, body: ExperimentRequest, service: Service) -> ExperimentState:
    """Start an experiment; every worker follows within a second, and loads the versions in the background.

    A user always gets the same variant. Until a version is loaded, and whenever it fails, the serving version answers
    and the answer says so. While an experiment runs, variants can be appended, which moves no user between the others.
    409 if another one runs.
    """
    return await service.put(name, body)


@router.get("/{name}", operation_id="read_experiment", responses=declare_errors(404, 503))
async def experiment(name: Name, service: Service) -> ExperimentResults:
    """Compare the variants by click-through and conversions, with intervals that stay valid however often one looks."""
    return await service.read(name)


@router.post("/{name}/conclude", operation_id="conclude_experiment", responses=declare_errors(404, 409, 503))
async def conclude(name: Name, body: ConcludeRequest, service: Service) -> ExperimentState:
    """Activate the version of the winner, and end the experiment.

    409, and the experiment continues, if the version is rejected, or if no winner is named and no variant is better
    than all others.
    """
    return await service.conclude(name, body)


@router.delete("/{name}", operation_id="remove_experiment", responses=declare_errors(404, 503))
async def remove_experiment(name: Name, service: Service) -> RemovedExperiment:
    """End an experiment without a winner, and remove its results."""
    await service.remove(name)
    return RemovedExperiment(name=name)
