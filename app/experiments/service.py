"""Writes and reads of experiments; one runs at a time, because each further version takes memory in every process."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from app.errors import ExperimentConflict, InvalidRequest, NotFound, StoreUnavailable
from app.experiment_state.assignment import to_fraction
from app.experiment_state.follower import ExperimentFollower
from app.experiments.comparison import compare_variants
from app.experiments.limits import MAX_ATTEMPTS, check_residents
from app.experiments.results import describe, describe_results
from app.experiments.schemas import ConcludeRequest, ExperimentRequest, ExperimentResults, ExperimentState, MetricName
from app.experiments.shadow_service import ShadowService
from app.inference import Engine
from app.model_repository.repository import ModelRepository
from app.model_server.activation import ModelActivator
from app.rules.follower import PlacementFollower
from app.stores.experiment_records import Experiment, Variant
from app.stores.experiments import ExperimentState as StoredState
from app.stores.placements import PlacementStore

MAX_EXPERIMENTS = 50
"""Experiments that are remembered, ended ones included."""

Edit = Callable[[StoredState], Experiment | None]


class ExperimentService:
    def __init__(
        self,
        follower: ExperimentFollower,
        engine: Engine,
        repository: ModelRepository,
        activator: ModelActivator,
        placement_store: PlacementStore,
        placements: PlacementFollower,
    ) -> None:
        self._follower = follower
        self._store = follower.store
        self._engine = engine
        self._repository = repository
        self._activator = activator
        self._placement_store = placement_store
        self._placements = placements
        self.shadow = ShadowService(follower, engine, repository)

    async def put(self, name: str, request: ExperimentRequest) -> ExperimentState:
        """Start an experiment, or append variants to it; a call that is repeated changes nothing.

        InvalidRequest names the field; ExperimentConflict for another experiment that runs, or another split of users.
        """
        variants = tuple(Variant(entry.name, entry.share, entry.version, entry.placement) for entry in request.variants)
        _check_variants(variants)
        await self._check_versions(variants)
        await self._check_placements(variants, request.placement)
        experiment = await self._change(name, lambda state: self._start(state, name, variants, request.placement))
        assert experiment is not None
        return describe(experiment, self._engine)

    async def list_all(self) -> list[ExperimentState]:
        """List all experiments, the oldest first."""
        state = await self._store.read()
        experiments = sorted(state.experiments.values(), key=lambda experiment: experiment.started_at)
        return [describe(experiment, self._engine) for experiment in experiments]

    async def read(self, name: str) -> ExperimentResults:
        """Read an experiment with the comparison of its variants; NotFound."""
        experiment = _find(await self._store.read(), name)
        comparison = compare_variants(experiment, await self._store.read_counts(name))
        return describe_results(experiment, self._engine, comparison)

    async def conclude(self, name: str, request: ConcludeRequest) -> ExperimentState:
        """Activate version and settings of the winner and end the experiment; nothing has changed if one is rejected.

        ExperimentConflict if it has ended, or if no variant is better than all others and none is named.
        """
        experiment = _find_running(await self._store.read(), name)
        variants = {variant.name: variant for variant in experiment.variants}
        winner = request.winner or await self._find_winner(experiment, request.metric)
        if winner not in variants:
            raise InvalidRequest.for_field("winner", f"is no variant of {name}; variants are {', '.join(variants)}")
        settings = await self._read_settings(experiment, variants[winner])
        if (version := variants[winner].version) is not None:
            await self._activator.activate(version)
        if settings is not None:
            await self._activate_settings(experiment, settings)
        ended_at = time.time_ns() // 1_000_000

        def end(state: StoredState) -> Experiment:
            return msgspec.structs.replace(_find_running(state, name), ended_at=ended_at, winner=winner)

        ended = await self._change(name, end)
        assert ended is not None
        return describe(ended, self._engine)

    async def remove(self, name: str) -> None:
        """End an experiment without a winner, and remove it with all that was counted; NotFound."""

        def remove(state: StoredState) -> None:
            _find(state, name)

        await self._change(name, remove)

    def _start(self, state: StoredState, name: str, variants: tuple[Variant, ...], placement: str | None) -> Experiment:
        running, current = state.running, state.experiments.get(name)
        if running is not None and running.name != name:
            raise ExperimentConflict(f"experiment {running.name} runs; conclude or delete it first, one runs at a time")
        if current is not None and not current.is_running:
            raise ExperimentConflict(f"experiment {name} has ended; delete it, or use another name")
        if current is not None:
            if variants[: len(current.variants)] != current.variants or placement != current.placement:
                raise ExperimentConflict(
                    f"experiment {name} runs, and users would change their variant; append variants, or delete it first"
                )
            if variants != current.variants:
                check_residents({variant.version for variant in variants}, state.shadow, self._engine)
            return msgspec.structs.replace(current, variants=variants)
        if len(state.experiments) >= MAX_EXPERIMENTS:
            raise ExperimentConflict(f"{MAX_EXPERIMENTS} experiments are stored; delete one that has ended")
        check_residents({variant.version for variant in variants}, state.shadow, self._engine)
        return Experiment(name, time.time_ns() // 1_000_000, variants, placement=placement)

    async def _find_winner(self, experiment: Experiment, metric: MetricName) -> str:
        comparison = compare_variants(experiment, await self._store.read_counts(experiment.name)).metrics[metric]
        if comparison.best is None:
            reason = comparison.shortage or f"no variant is better than all others by {metric}"
            raise ExperimentConflict(f"{reason}; wait, or name the winner")
        return comparison.best

    async def _check_versions(self, variants: tuple[Variant, ...]) -> None:
        stored = {version.version for version in await asyncio.to_thread(self._repository.list_versions)}
        for number, variant in enumerate(variants):
            if variant.version is not None and variant.version not in stored | {self._engine.servable.version}:
                raise InvalidRequest.for_field(
                    f"variants.{number}.version", f"there is no version {variant.version!r}; GET /models lists all"
                )

    async def _check_placements(self, variants: tuple[Variant, ...], placement: str | None) -> None:
        names = {"placement": placement}
        names |= {f"variants.{number}.placement": variant.placement for number, variant in enumerate(variants)}
        if not any(names.values()):
            return
        stored = await self._placement_store.read()
        for field, name in names.items():
            if name is not None and placement is None:
                raise InvalidRequest.for_field(field, "needs the placement that it replaces: set `placement`")
            if name is not None and name not in stored:
                raise InvalidRequest.for_field(field, f"there is no placement {name!r}; GET /placements lists all")

    async def _read_settings(self, experiment: Experiment, winner: Variant) -> bytes | None:
        """Read the settings of the winner's placement, None if it has none.

        ExperimentConflict if it was removed, or if there is no room for the experiment's placement.
        """
        if winner.placement is None or experiment.placement is None:
            return None
        stored = await self._placement_store.read()
        if winner.placement not in stored:
            raise ExperimentConflict(f"placement {winner.placement} was removed; put it again, or name another winner")
        if experiment.placement not in stored and len(stored) >= self._placement_store.max_placements:
            raise ExperimentConflict(
                f"placement {experiment.placement} was removed, and there is no room for it; remove another one"
            )
        return stored[winner.placement]

    async def _activate_settings(self, experiment: Experiment, settings: bytes) -> None:
        """Store the settings under the name of the experiment's placement."""
        assert experiment.placement is not None
        await self._placement_store.put(experiment.placement, settings)
        with suppress(StoreUnavailable):
            await self._placements.catch_up()

    async def _change(self, name: str, edit: Edit) -> Experiment | None:
        """Write what `edit` makes of the newest state, None to remove the record with its counts."""
        for _ in range(MAX_ATTEMPTS):
            state = await self._store.read()
            record = edit(state)
            if record is not None and record == state.experiments.get(name):
                break
            if await self._store.write(
                state, name, record, drops_counts=name not in state.experiments or record is None
            ):
                break
        else:
            raise StoreUnavailable("other calls change experiments at the same time; retry later")
        with suppress(StoreUnavailable):  # this process sees its own change at once, the others follow
            await self._follower.catch_up()
        return record


def _check_variants(variants: tuple[Variant, ...]) -> None:
    names = [variant.name for variant in variants]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InvalidRequest.for_field(f"variants.{number}.name", f"is that of another variant: {name}")
    if (total := sum(to_fraction(variant.share) for variant in variants)) > 1:
        raise InvalidRequest.for_field("variants", f"shares must be at most 1 together (got {float(total):g})")


def _find(state: StoredState, name: str) -> Experiment:
    if name not in state.experiments:
        raise NotFound(f"there is no experiment {name!r}; GET /experiments lists all")
    return state.experiments[name]


def _find_running(state: StoredState, name: str) -> Experiment:
    experiment = _find(state, name)
    if not experiment.is_running:
        raise ExperimentConflict(f"experiment {name} has ended")
    return experiment
