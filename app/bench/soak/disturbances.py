"""Operations during a soak: the two versions are activated in turns, and one worker is killed again and again."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress

from app.bench.load.json_client import CallFailed, JsonClient
from app.bench.soak.processes import WORKER, list_kinds

ACTIVATION_S = 60.0


class Disturbances:
    """Runs until it is cancelled; the oldest worker is never killed, so that its memory can be compared over time."""

    def __init__(
        self, pid: int, port: int, versions: list[str], *, oldest_worker: int, reload_s: float, restart_s: float
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._pid, self._port = pid, port
        self._versions = versions
        self._oldest_worker = oldest_worker
        self._reload_s, self._restart_s = reload_s, restart_s

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reload())
            group.create_task(self._restart())

    async def _reload(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(self._reload_s)
            turn += 1
            self.counts[f"activation {await self._activate(self._versions[turn % len(self._versions)])}"] += 1

    async def _activate(self, version: str) -> str:
        """Activate a version; return the status, or how the call failed."""
        client = JsonClient([self._port])
        try:
            answer = await client.call("POST", f"/models/{version}/activate", {}, timeout_s=ACTIVATION_S)
        except CallFailed as error:
            return error.kind
        finally:
            client.close()
        return str(answer.status)

    async def _restart(self) -> None:
        while True:
            await asyncio.sleep(self._restart_s)
            victims = [pid for pid in list_kinds(self._pid).get(WORKER, []) if pid != self._oldest_worker]
            if victims:
                with suppress(ProcessLookupError):
                    os.kill(victims[-1], signal.SIGKILL)
                self.counts["worker killed"] += 1
