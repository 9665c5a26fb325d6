"""Dedicated process that owns the model, and with it the device, and answers HTTP workers over a Unix socket.

    python -m app.model_server.process DESCRIPTOR

The descriptor is the channel to the supervisor (`app/supervision`), which restarts this process. Settings come from the
environment, which `nextup serve` prepares.
"""

import asyncio
import logging.config
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.environment import SettingsError, load_settings
from app.errors import ServiceError
from app.experiment_state.connection import follow_experiments
from app.inference.local_engine import InferenceEngine
from app.inference.remote.server import ModelServer
from app.live_catalogue.connection import follow_catalogue
from app.model_server.local_model import open_local_model
from app.model_server.manager import ModelManager
from app.runtime import channel as channels
from app.runtime.garbage import collect_garbage_rarely
from app.runtime.periodic import run_periodically
from app.runtime.watchdog import Watchdog, exit_without_waiting
from app.settings import Settings
from app.telemetry.activity import record_activity
from app.telemetry.deferred_metrics import flush_periodically
from app.telemetry.logs import log_config
from app.telemetry.metrics import STORE_UP, sample_process_memory
from app.telemetry.tracing import start_tracing_by_settings

log = logging.getLogger("nextup")

SAMPLE_INTERVAL_S = 0.5
START_FAILED_STATUS = 3
"""Exit status of uvicorn's workers when they cannot start."""
END_MARGIN_S = 1.0
"""Time after the drain to close resources; then the watchdog ends the process."""


@asynccontextmanager
async def serve_model(settings: Settings) -> AsyncIterator[tuple[InferenceEngine, ModelManager, ModelServer]]:
    """Serve the model at `settings.model_socket_path` until the block ends.

    ArtifactRejected if the target version cannot serve.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(flush_periodically())  # this and tracing come first, so that they end last
        await stack.enter_async_context(record_activity())
        tracing = await stack.enter_async_context(start_tracing_by_settings(settings))
        live = await stack.enter_async_context(follow_catalogue(settings))
        experiments = await stack.enter_async_context(follow_experiments(settings))
        engine, manager = await stack.enter_async_context(open_local_model(settings, tracing, live, experiments))
        server = ModelServer(
            engine,
            lambda: engine.servable.folder.resolve(),
            lambda: {version: resident.folder.resolve() for version, resident in engine.residents.items()},
            manager.activate,
            max_pending=settings.queue_limit + settings.max_batch,
        )
        engine.on_swap(server.announce_version)
        engine.on_residents(server.announce_residents)
        settings.model_socket_path.parent.mkdir(parents=True, exist_ok=True)
        await stack.enter_async_context(server.listen(settings.model_socket_path))
        yield engine, manager, server


async def _run(settings: Settings, channel: socket.socket, watchdog: Watchdog) -> None:
    """Serve until the supervisor asks for the end or ends itself."""
    is_stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, is_stopping.set)
    async with serve_model(settings) as (engine, _, _):

        async def sample() -> None:
            engine.update_gauges()
            sample_process_memory()

        STORE_UP.set(1)  # the minimum over all processes is exposed, and this one does not use the store
        loop.add_reader(channel, _read_messages, channel, is_stopping)
        async with (
            collect_garbage_rarely(),
            run_periodically(sample, every_s=SAMPLE_INTERVAL_S, name="metrics sample", starts_immediately=True),
        ):
            watchdog.watch(lambda: engine.stalled_s)
            await is_stopping.wait()
            watchdog.end_within(settings.drain_s + END_MARGIN_S)


def _read_messages(channel: socket.socket, is_stopping: asyncio.Event) -> None:
    """Stop on request of the supervisor, and when it has ended."""
    try:
        message, _ = channels.receive(channel)
    except BlockingIOError:
        return
    if message in (channels.DRAIN, b""):
        asyncio.get_running_loop().remove_reader(channel)
        is_stopping.set()


async def _run_and_exit(settings: Settings, channel: socket.socket, watchdog: Watchdog) -> None:
    await _run(settings, channel, watchdog)
    exit_without_waiting(0)


def main() -> None:
    import uvloop  # not available on Windows, which has no Unix sockets either

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            settings = load_settings()
            logging.config.dictConfig(log_config(settings.log_format))
            channel = channels.open_child_end(int(sys.argv[1]))
            watchdog = Watchdog(channel, stall_s=settings.stall_s)
            watchdog.start()
            runner.run(_run_and_exit(settings, channel, watchdog))
        except (ServiceError, SettingsError) as error:
            log.error("nextup failed to start: %s", error)
            exit_without_waiting(START_FAILED_STATUS)


if __name__ == "__main__":
    main()
