"""Dedicated process that owns the model, and with it the device, and answers HTTP workers over a Unix socket.

    python -m app.model_server.process

Settings come from the environment, which `nextup serve` prepares; its supervisor restarts this process.
"""

import asyncio
import logging.config
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.environment import SettingsError, load_settings
from app.errors import ServiceError
from app.inference.local_engine import InferenceEngine
from app.inference.remote.server import ModelServer
from app.model_server.local_model import open_local_model
from app.model_server.manager import ModelManager
from app.runtime.memory import freeze_heap
from app.runtime.periodic import run_periodically
from app.settings import Settings, get_plain_value
from app.telemetry.deferred_metrics import flush_periodically
from app.telemetry.logs import log_config
from app.telemetry.metrics import STORE_UP, sample_process_memory
from app.telemetry.tracing import start_tracing

log = logging.getLogger("nextup")

SAMPLE_INTERVAL_S = 0.5
START_FAILED_STATUS = 3
"""Exit status of uvicorn's workers when they cannot start."""


@asynccontextmanager
async def serve_model(settings: Settings) -> AsyncIterator[tuple[InferenceEngine, ModelManager, ModelServer]]:
    """Serve the model at `settings.model_socket_path` until the block ends.

    ArtifactRejected if the target version cannot serve.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(flush_periodically())  # these two first, so that they end last
        tracing = await stack.enter_async_context(
            start_tracing(
                get_plain_value(settings.otlp_endpoint),
                sample_ratio=settings.trace_sample_ratio,
                max_links=settings.max_batch,
                drain_s=settings.drain_s,
            )
        )
        engine, manager = await stack.enter_async_context(open_local_model(settings, tracing))
        server = ModelServer(
            engine,
            lambda: engine.servable.folder.resolve(),
            manager.activate,
            max_pending=settings.queue_limit + settings.max_batch,
        )
        engine.on_swap(server.announce_version)
        settings.model_socket_path.parent.mkdir(parents=True, exist_ok=True)
        await stack.enter_async_context(server.listen(settings.model_socket_path))
        yield engine, manager, server


async def _run(settings: Settings) -> None:
    is_stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_stopping.set)
    async with serve_model(settings) as (engine, _, _):

        async def sample() -> None:
            engine.update_gauges()
            sample_process_memory()

        STORE_UP.set(1)  # the minimum over all processes is exposed, and this one does not use the store
        with freeze_heap():
            async with run_periodically(
                sample, every_s=SAMPLE_INTERVAL_S, name="metrics sample", starts_immediately=True
            ):
                await is_stopping.wait()


def main() -> int:
    import uvloop  # not available on Windows, which has no Unix sockets either

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            settings = load_settings()
            logging.config.dictConfig(log_config(settings.log_format))
            runner.run(_run(settings))
        except (ServiceError, SettingsError) as error:
            log.error("nextup failed to start: %s", error)
            return START_FAILED_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main())
