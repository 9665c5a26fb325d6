"""`nextup serve`: the service in this terminal, with the embedded Redis beside it and workers below it.

Knows how processes start and stop. What a worker does is in app/main.py and app/lifespan.py.
"""

import argparse
import logging.config
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import ValidationError
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.model_repository.repository import ModelRepository
from app.model_server.placement import resolve_placement
from app.model_server.supervisor import ModelStartFailed, supervise_model_process
from app.settings import Settings
from app.stores.redis.embedded import EmbeddedRedis
from app.telemetry.logs import log_config

log = logging.getLogger("nextup")

_OPTIONS = ("artifact", "host", "port", "workers", "model_process")
EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - listened on when asked, but not an address to open


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--artifact", type=Path, metavar="DIR", help="folder of the artifact (NEXTUP_ARTIFACT)")
    parser.add_argument("--host", help="address to listen on (NEXTUP_HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (NEXTUP_PORT)")
    parser.add_argument("--workers", metavar="N|auto", help="HTTP processes (NEXTUP_WORKERS)")
    parser.add_argument(
        "--model-process",
        metavar="PLACEMENT",
        help="in_process, dedicated or auto (NEXTUP_MODEL_PROCESS)",
    )
    parser.add_argument("--demo", action="store_true", help="make a demo artifact if there is none, with demo users")


def run(arguments: argparse.Namespace) -> int:
    # While the demo trains, a container's process 1 would not hear SIGTERM; and uvicorn ends by giving the signal back
    # to whoever had it before: then everything below must still be closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = _settings(arguments)
    logging.config.dictConfig(log_config(settings.log_format))
    if arguments.demo:
        from app.commands.demo import ensure_demo  # loads the lab, which an ordinary start does not

        ensure_demo(settings.artifact)
    ModelRepository(settings.artifact).find_target_folder()  # a ValueError here is one line, and one for all workers
    with ExitStack() as running:
        if settings.redis_url is None:
            redis = running.enter_context(EmbeddedRedis.start(settings.data_dir, settings.durability))
            settings = settings.model_copy(update={"redis_url": redis.url})
        if arguments.demo:
            from app.commands.demo import load_demo_histories

            load_demo_histories(settings)
        several = settings.worker_count > 1 or settings.model_process == "dedicated"
        if several:
            running.enter_context(_shared_metrics())
        _hand_down(settings)
        if settings.model_process == "dedicated":
            try:
                running.enter_context(supervise_model_process(settings))
            except ModelStartFailed as error:
                return error.status
        _announce(settings, demo=arguments.demo)
        return _serve(settings, several=several)


def _serve(settings: Settings, *, several: bool) -> int:
    """Until a signal ends it; a service that could not start gives a status other than 0."""
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.worker_count,
        access_log=False,
        log_level="warning",
        log_config=log_config(settings.log_format),
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )
    if not several:
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run()
        return 0 if server.started else STARTUP_FAILURE
    supervisor = Multiprocess(config, sockets=[config.bind_socket()])
    supervisor.run()
    return STARTUP_FAILURE if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes) else 0


def _settings(arguments: argparse.Namespace) -> Settings:
    given: dict[str, Any] = {name: getattr(arguments, name) for name in _OPTIONS}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        settings = resolve_placement(settings)
        # A name per service: several may share a data folder when their Redis is elsewhere.
        socket = settings.model_socket or settings.data_dir.resolve() / f"model-{os.getpid()}.sock"
        return settings.model_copy(update={"model_socket": socket})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise ValueError(wrong) from error


def _hand_down(settings: Settings) -> None:
    """Workers are new processes: they read the same settings from the environment."""
    for name, value in settings.model_dump(mode="json", exclude_none=True).items():
        os.environ[f"NEXTUP_{name.upper()}"] = str(value)


@contextmanager
def _shared_metrics() -> Iterator[None]:
    """A folder in which the workers' counters meet, so that any of them can answer /metrics for all."""
    folder = tempfile.mkdtemp(prefix="nextup-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _announce(settings: Settings, *, demo: bool) -> None:
    host = "127.0.0.1" if settings.host in EVERY_ADDRESS else settings.host
    base = f"http://{host}:{settings.port}"
    if settings.log_format == "json":
        log.info("nextup serves %s on %s", ModelRepository(settings.artifact).find_target_folder(), base)
        return
    print(f"nextup serves {ModelRepository(settings.artifact).find_target_folder()}", file=sys.stderr)
    print(f"  page     {base}/\n  API      {base}/docs\n  metrics  {base}/metrics", file=sys.stderr)
    if demo:
        body = '{"user_id": "ada", "k": 5}'
        print(f"  try      curl -s {base}/recommend -H 'content-type: application/json' -d '{body}'", file=sys.stderr)
    sys.stderr.flush()
