"""One HTTP worker: a process that serves the connections that its supervisor accepts and hands over.

    python -m app.worker.process DESCRIPTOR

The descriptor is the channel to the supervisor (`app/supervision`). Settings come from the environment, which
`nextup serve` prepares. The worker ends with its supervisor.
"""

import asyncio
import logging.config
import sys

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from app.environment import SettingsError, load_settings
from app.http.server import build_server_options
from app.runtime.channel import open_child_end
from app.runtime.watchdog import Watchdog, exit_without_waiting
from app.settings import Settings
from app.telemetry.logs import log_config
from app.worker.server import WorkerServer

log = logging.getLogger("nextup")


def build_config(settings: Settings) -> uvicorn.Config:
    """Build the configuration of the HTTP server; it opens no socket itself."""
    return uvicorn.Config(
        "app.main:create_app",
        factory=True,
        access_log=False,
        log_level="warning",
        log_config=log_config(settings.log_format),
        server_header=False,
        **build_server_options(settings),
    )


def main() -> None:
    try:
        settings = load_settings()
    except SettingsError as error:
        log.error("nextup failed to start: %s", error)
        exit_without_waiting(STARTUP_FAILURE)
    logging.config.dictConfig(log_config(settings.log_format))
    channel = open_child_end(int(sys.argv[1]))
    watchdog = Watchdog(channel, stall_s=settings.stall_s)
    watchdog.start()
    config = build_config(settings)
    server = WorkerServer(config, settings, channel, watchdog)
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve_and_exit())
    except SystemExit as error:  # uvicorn's end of a failed start, which it has logged
        exit_without_waiting(error.code if isinstance(error.code, int) else STARTUP_FAILURE)


if __name__ == "__main__":
    main()
