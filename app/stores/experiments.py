"""Experiments and the shadow version in Redis: their records, and what all workers counted of them.

All processes follow the records by a token that every change replaces. All keys are in one slot of a Cluster.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from app.stores.experiment_records import Experiment, Shadow, encoder, experiment_decoder, shadow_decoder
from app.stores.keys import EXPERIMENT_KEYS, build_experiment_counts_key
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, make_pipeline
from app.stores.redis.pipelines import Command, PipelineLimits, decode_hash

log = logging.getLogger("nextup")

RECORDS_KEY, TOKEN_KEY = EXPERIMENT_KEYS
SHADOW = "@shadow"
"""Name of the record of the shadow version, which no experiment can have."""
MAX_IN_FLIGHT = 4


class Counts(NamedTuple):
    """Amounts by field that are added to the counts of a record, and the time of the counted facts."""

    name: str
    time_ms: int
    amounts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """All experiments by their names, and the shadow version; `token` identifies this state."""

    token: bytes = b""
    experiments: Mapping[str, Experiment] = field(default_factory=dict)
    shadow: Shadow | None = None

    @property
    def running(self) -> Experiment | None:
        """The experiment that runs; there is at most one."""
        return next((experiment for experiment in self.experiments.values() if experiment.is_running), None)


class ExperimentStore:
    def __init__(self, client: RedisClient, *, wait_s: float) -> None:
        """An operation waits at most `wait_s` for a connection, and as long for its round trip."""
        self._pipeline = make_pipeline(client, PipelineLimits(send_s=wait_s))
        self._limiter = ConcurrencyLimiter(max_in_flight=MAX_IN_FLIGHT, wait_s=wait_s)
        self._write_script = Script("experiments.lua")
        self._count_script = Script("experiment_counts.lua")

    async def read_token(self) -> bytes:
        """Read the token of the newest state, empty before the first change; StoreUnavailable without Redis."""
        (token,) = await self._send(Command(TOKEN_KEY, ("GET", TOKEN_KEY)))
        return token or b""

    async def read(self) -> ExperimentState:
        """Read all records; ones that are damaged are logged and left out."""
        # The token first: records that change in between have a newer token, so that followers read them again.
        token, values = await self._send(
            Command(TOKEN_KEY, ("GET", TOKEN_KEY)), Command(RECORDS_KEY, ("HGETALL", RECORDS_KEY))
        )
        experiments, shadow = {}, None
        for name, value in decode_hash(values).items():
            try:
                if name == SHADOW:
                    shadow = shadow_decoder.decode(value)
                else:
                    experiments[name] = experiment_decoder.decode(value)
            except msgspec.DecodeError as error:
                log.warning("the record of experiment %r is damaged and ignored; put it again: %s", name, error)
        return ExperimentState(token or b"", experiments, shadow)

    async def write(
        self, state: ExperimentState, name: str, record: Experiment | Shadow | None, *, drops_counts: bool = False
    ) -> bool:
        """Write a record, or remove it; False, and nothing has changed, if `state` is not the newest one."""
        value = b"" if record is None else encoder.encode(record)
        keys = [*EXPERIMENT_KEYS, build_experiment_counts_key(name)]
        arguments = [state.token, secrets.token_hex(8), name, value, int(drops_counts)]
        async with self._limiter.slot("experiments"):
            (is_written,) = await self._write_script.run(self._pipeline, [(keys, arguments)])
        return bool(is_written)

    async def add_counts(self, counts: Sequence[Counts]) -> int:
        """Add to the counts of records, and return how many were added.

        Those of a record that is gone, has ended, or began after them are not.
        """
        calls = []
        for name, time_ms, amounts in counts:
            keys = [RECORDS_KEY, build_experiment_counts_key(name)]
            arguments = [part for count, amount in amounts.items() for part in (count, amount)]
            calls.append((keys, [name, time_ms, *arguments]))
        async with self._limiter.slot("experiments"):
            return sum(await self._count_script.run(self._pipeline, calls))

    async def read_counts(self, name: str) -> dict[str, float]:
        """Read the counts of a record by field."""
        key = build_experiment_counts_key(name)
        (values,) = await self._send(Command(key, ("HGETALL", key)))
        return {count: float(amount) for count, amount in decode_hash(values).items()}

    async def close(self) -> None:
        await self._pipeline.close()

    async def _send(self, *commands: Command) -> list[Any]:
        async with self._limiter.slot("experiments"):
            replies = await self._pipeline.send(commands)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return list(replies)
