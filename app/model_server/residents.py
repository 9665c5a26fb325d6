"""Versions that answer next to the serving one: loaded when an experiment asks for them, released when none does.

A version is loaded and compared as for an activation, one at a time. One that cannot be loaded is tried again after a
pause; until then the serving version answers its queries.
"""

import logging
import time
from contextlib import AbstractAsyncContextManager

from app.errors import ActivationInProgress, ServiceError
from app.experiment_state.follower import ExperimentFollower
from app.inference.local_engine import InferenceEngine
from app.model_server.manager import ModelManager
from app.runtime.periodic import run_periodically
from app.telemetry.version_metrics import RESIDENTS, RESIDENTS_MISSING

log = logging.getLogger("nextup")

POLL_INTERVAL_S = 0.2
MIN_RETRY_S, MAX_RETRY_S = 5.0, 300.0


class ResidentVersions:
    """Keeps the residents of the engine at those that the follower lists."""

    def __init__(self, manager: ModelManager, engine: InferenceEngine, follower: ExperimentFollower) -> None:
        self._manager = manager
        self._engine = engine
        self._follower = follower
        self._retries: dict[str, tuple[float, float]] = {}
        """Time of the next attempt, and the pause after it, by version that was rejected."""
        RESIDENTS.set(0)
        RESIDENTS_MISSING.set(0)

    def run(self) -> AbstractAsyncContextManager[None]:
        """Reconcile every `POLL_INTERVAL_S` until the block ends."""
        return run_periodically(self.reconcile, every_s=POLL_INTERVAL_S, name="resident versions")

    async def reconcile(self) -> None:
        """Release versions that no experiment needs, then load those that are missing."""
        required = self._list_required()
        self._retries = {version: retry for version, retry in self._retries.items() if version in required}
        current = set(self._engine.residents) | set(self._engine.resident_problems)
        if current - required:
            # A winner is the target before its experiment ends; this process switches to it without loading it again.
            retained = required | {await self._manager.get_target_version()} - {self._engine.servable.version}
            if current - retained:
                self._publish(retained)
        for version in sorted(required - set(self._engine.residents)):
            due_at, pause_s = self._retries.get(version, (0.0, MIN_RETRY_S))
            if time.monotonic() >= due_at:
                await self._open(version, pause_s)

    def _list_required(self) -> set[str]:
        return self._follower.list_versions() - {self._engine.servable.version}

    async def _open(self, version: str, pause_s: float) -> None:
        try:
            servable = await self._manager.open_version(version)
        except ActivationInProgress:
            return
        except (ServiceError, OSError) as error:
            self._retries[version] = time.monotonic() + pause_s, min(2 * pause_s, MAX_RETRY_S)
            detail = error.public_detail if isinstance(error, ServiceError) else "the model repository cannot be read"
            problems = {**self._engine.resident_problems, version: detail}
            self._engine.set_residents(self._engine.residents, problems)
            RESIDENTS_MISSING.set(len(problems))
            log.error("version %s cannot answer; the serving version answers its queries: %s", version, error)
            return
        log.warning("version %s is in memory next to the serving version %s", version, self._engine.servable.version)
        self._engine.set_residents({**self._engine.residents, version: servable}, self._engine.resident_problems)
        self._retries.pop(version, None)
        self._publish(self._list_required())

    def _publish(self, required: set[str]) -> None:
        """Drop residents and problems of versions that are not required, and set the gauges."""
        residents = {version: each for version, each in self._engine.residents.items() if version in required}
        problems = {
            version: problem
            for version, problem in self._engine.resident_problems.items()
            if version in required and version not in residents
        }
        self._engine.set_residents(residents, problems)
        RESIDENTS.set(len(residents))
        RESIDENTS_MISSING.set(len(problems))
