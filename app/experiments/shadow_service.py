"""Writes and reads of the shadow version; there is one at a time."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from app.errors import ExperimentConflict, InvalidRequest, NotFound, StoreUnavailable
from app.experiment_state.follower import ExperimentFollower
from app.experiments.limits import MAX_ATTEMPTS, check_residents
from app.experiments.schemas import to_datetime
from app.experiments.shadow_schemas import ShadowRequest, ShadowResults
from app.inference import Engine
from app.model_repository.repository import ModelRepository
from app.model_server.activation import find_version
from app.stores.experiment_records import Shadow
from app.stores.experiments import SHADOW, ExperimentState


class ShadowService:
    def __init__(self, follower: ExperimentFollower, engine: Engine, repository: ModelRepository) -> None:
        self._follower = follower
        self._store = follower.store
        self._engine = engine
        self._repository = repository

    async def start(self, version: str, request: ShadowRequest) -> ShadowResults:
        """Let a version answer requests in the background, from the beginning if it already does.

        NotFound, ArtifactRejected; InvalidRequest for the serving version; ExperimentConflict while another one runs.
        """
        await asyncio.to_thread(find_version, self._repository, version)
        if version == self._engine.servable.version:
            raise InvalidRequest.for_field("version", f"is the serving version {version}; name another one")
        started_at = _read_clock()
        shadow = Shadow(version, request.share, started_at, started_at + 1000 * request.seconds)

        def start(state: ExperimentState) -> Shadow:
            if state.shadow is not None and state.shadow.ends_at > started_at and state.shadow.version != version:
                raise ExperimentConflict(
                    f"version {state.shadow.version} is the shadow version until its time ends; delete it first"
                )
            running = state.running
            check_residents(
                {variant.version for variant in running.variants} if running else set(), shadow, self._engine
            )
            return shadow

        await self._change(start)
        return self._describe(shadow, {})

    async def read(self, version: str) -> ShadowResults:
        """Read the sums of all workers, also when the time has passed; NotFound for another version."""
        shadow = _find(await self._store.read(), version)
        return self._describe(shadow, await self._store.read_counts(SHADOW))

    async def remove(self, version: str) -> None:
        """End the shadow, and remove its results; NotFound for another version."""

        def remove(state: ExperimentState) -> None:
            _find(state, version)

        await self._change(remove)

    async def _change(self, edit: Callable[[ExperimentState], Shadow | None]) -> None:
        for _ in range(MAX_ATTEMPTS):
            state = await self._store.read()
            if await self._store.write(state, SHADOW, edit(state), drops_counts=True):
                break
        else:
            raise StoreUnavailable("other calls change experiments at the same time; retry later")
        with suppress(StoreUnavailable):
            await self._follower.catch_up()

    def _describe(self, shadow: Shadow, sums: dict[str, float]) -> ShadowResults:
        is_ready = shadow.version in self._engine.residents or shadow.version == self._engine.servable.version
        is_running = shadow.ends_at > _read_clock()
        problem = None if is_ready or not is_running else self._engine.resident_problems.get(shadow.version)
        num_answers, num_errors = int(sums.get("ok", 0)), int(sums.get("error", 0))
        return ShadowResults(
            version=shadow.version,
            share=shadow.share,
            started_at=to_datetime(shadow.started_at),
            ends_at=to_datetime(shadow.ends_at),
            running=is_running,
            ready=is_ready,
            problem=problem,
            queries=num_answers + num_errors,
            errors=num_errors,
            dropped=int(sums.get("dropped", 0)),
            overlap=_compute_mean(sums, "overlap", "compared", 4),
            serving_ms=_compute_mean(sums, "serving_s", "ok", 3, 1000),
            candidate_ms=_compute_mean(sums, "candidate_s", "ok", 3, 1000),
            score_difference=_compute_mean(sums, "score_difference", "scored", 6),
        )


def _find(state: ExperimentState, version: str) -> Shadow:
    if state.shadow is None or state.shadow.version != version:
        raise NotFound(f"version {version!r} is not the shadow version; PUT /models/{{version}}/shadow starts one")
    return state.shadow


def _compute_mean(sums: dict[str, float], total: str, count: str, digits: int, factor: float = 1) -> float | None:
    number = sums.get(count, 0)
    return round(factor * sums.get(total, 0.0) / number, digits) if number else None


def _read_clock() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
