"""`nextup serve`: run the service in the foreground, with an embedded Redis and worker processes.

Starts and stops processes; the work of a worker is in app/main.py and app/lifespan.py.
"""

import logging.config
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import uvicorn
from pydantic import SecretStr
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.commands.options.serve import ServeOptions
from app.environment import load_settings
from app.model_repository.repository import ModelRepository
from app.model_server.placement import resolve_placement
from app.model_server.supervisor import ModelStartFailed, supervise_model_process
from app.settings import Settings
from app.stores.redis.embedded import EmbeddedRedis
from app.telemetry.logs import log_config

log = logging.getLogger("nextup")

SETTING_OPTIONS = ("artifact", "host", "port", "workers", "model_process")
WILDCARD_HOSTS = ("0.0.0.0", "::", "")  # noqa: S104 - valid to listen on, but not an address to open


def run(arguments: ServeOptions) -> int:
    # Process 1 of a container ignores SIGTERM without a handler, for example while the demo trains. uvicorn re-raises
    # the signal to the previous handler when it exits; sys.exit then still closes everything below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = _load_settings(arguments)
    logging.config.dictConfig(log_config(settings.log_format))
    if arguments.demo:
        from app.commands.demo import ensure_demo  # imports training code, which serving does not need

        ensure_demo(settings.artifact)
    ModelRepository(settings.artifact).find_target_folder()  # fails here, in one line, rather than in every worker
    with ExitStack() as stack:
        if settings.redis_url is None:
            redis = stack.enter_context(EmbeddedRedis.start(settings.data_dir, settings.durability))
            settings = settings.model_copy(update={"redis_url": SecretStr(redis.url)})
        if arguments.demo:
            from app.commands.demo import load_demo_histories

            load_demo_histories(settings)
        multiprocess = settings.worker_count > 1 or settings.model_process == "dedicated"
        if multiprocess:
            stack.enter_context(_share_metrics())
        _export_settings(settings)
        if settings.model_process == "dedicated":
            try:
                stack.enter_context(supervise_model_process(settings))
            except ModelStartFailed as error:
                return error.status
        _announce(settings, demo=arguments.demo)
        return _serve(settings, multiprocess=multiprocess)


def _serve(settings: Settings, *, multiprocess: bool) -> int:
    """Serve until a signal arrives; return a nonzero status if the service could not start."""
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
    if not multiprocess:
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run()
        return 0 if server.started else STARTUP_FAILURE
    supervisor = Multiprocess(config, sockets=[config.bind_socket()])
    supervisor.run()
    return STARTUP_FAILURE if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes) else 0


def _load_settings(arguments: ServeOptions) -> Settings:
    options: dict[str, Any] = {name: getattr(arguments, name) for name in SETTING_OPTIONS}
    settings = resolve_placement(load_settings(**{name: value for name, value in options.items() if value is not None}))
    # One socket per service: services with an external Redis may share a data folder.
    socket = settings.model_socket or settings.data_dir.resolve() / f"model-{os.getpid()}.sock"
    return settings.model_copy(update={"model_socket": socket})


def _export_settings(settings: Settings) -> None:
    """Set the environment from which worker processes read their settings."""
    os.environ.update(settings.to_environment())


@contextmanager
def _share_metrics() -> Iterator[None]:
    """Create the folder through which workers share counters, so that any of them can serve /metrics for all."""
    folder = tempfile.mkdtemp(prefix="nextup-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _announce(settings: Settings, *, demo: bool) -> None:
    host = "127.0.0.1" if settings.host in WILDCARD_HOSTS else settings.host
    base = f"http://{host}:{settings.port}"
    folder = ModelRepository(settings.artifact).find_target_folder()
    if settings.log_format == "json":
        log.info("nextup serves %s on %s", folder, base)
        return
    print(f"nextup serves {folder}", file=sys.stderr)
    print(f"  page     {base}/\n  API      {base}/docs\n  metrics  {base}/metrics", file=sys.stderr)
    if demo:
        body = '{"user_id": "ada", "k": 5}'
        print(f"  try      curl -s {base}/recommend -H 'content-type: application/json' -d '{body}'", file=sys.stderr)
    sys.stderr.flush()
