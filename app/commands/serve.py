"""`nextup serve`: run the service in the foreground, with an embedded Redis and worker processes.

Starts and stops processes; the work of a worker is in app/main.py and app/lifespan.py.
"""

import logging.config
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.cli.listening import Address, bind_listener, bind_unix_listener, call_when_ready
from app.commands.options.serve import ServeOptions
from app.environment import find_unknown_variables, load_settings
from app.http.server import build_server_options
from app.model_repository.repository import MANIFEST, ModelRepository, read_version
from app.model_server.placement import resolve_placement
from app.model_server.supervisor import ModelStartFailed, supervise_model_process
from app.settings import LogFormat, Settings
from app.stores.redis.embedded import EmbeddedRedis
from app.telemetry.logs import log_config

log = logging.getLogger("nextup")

SETTING_OPTIONS = ("artifact", "host", "port", "unix_socket", "workers", "model_process")


def run(arguments: ServeOptions) -> int:
    # Process 1 of a container ignores SIGTERM without a handler, for example while the demo trains. uvicorn re-raises
    # the signal to the previous handler when it exits; sys.exit then still closes everything below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = _load_settings(arguments)
    logging.config.dictConfig(log_config(settings.log_format))
    for line in find_unknown_variables():
        log.warning("%s", line)
    with ExitStack() as stack:
        listener = _bind(settings, stack)  # first: what follows takes long, and would be in vain
        address = Address.from_listener(listener)
        settings = settings.model_copy(update={"port": address.port or settings.port})
        if arguments.demo:
            from app.commands.demo import ensure_demo  # imports training code, which serving does not need

            ensure_demo(settings.artifact)
        folder = ModelRepository(settings.artifact).find_target_folder()  # fails here rather than in every worker
        if read_version(folder) is None:
            raise ValueError(f"{folder / MANIFEST} cannot be read; train the artifact again, or serve another folder")
        if settings.redis_url is None:
            redis = stack.enter_context(EmbeddedRedis.start(settings.data_dir, settings.durability))
            settings = settings.model_copy(update={"redis_url": SecretStr(redis.url)})
        if arguments.demo:
            from app.commands.demo import load_demo_histories

            load_demo_histories(settings)
        multiprocess = settings.worker_count > 1 or settings.model_process == "dedicated"
        if multiprocess:
            stack.enter_context(_share_metrics())
        os.environ.update(settings.to_environment())  # worker processes read their settings from it
        if settings.model_process == "dedicated":
            try:
                stack.enter_context(supervise_model_process(settings))
            except ModelStartFailed as error:
                return error.status
        announce = partial(_announce, address, folder, settings.log_format, demo=arguments.demo)
        with call_when_ready(address, announce):
            return _serve(settings, listener, multiprocess=multiprocess)


def _bind(settings: Settings, stack: ExitStack) -> socket.socket:
    if settings.unix_socket is not None:
        return stack.enter_context(bind_unix_listener(settings.unix_socket))
    return stack.enter_context(bind_listener(settings.host, settings.port))


def _serve(settings: Settings, listener: socket.socket, *, multiprocess: bool) -> int:
    """Serve until a signal arrives; return a nonzero status if the service could not start."""
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        workers=settings.worker_count,
        access_log=False,
        log_level="warning",
        log_config=log_config(settings.log_format),
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        **build_server_options(settings),
    )
    if not multiprocess:
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
        return 0 if server.started else STARTUP_FAILURE
    supervisor = Multiprocess(config, sockets=[listener])
    supervisor.run()
    return STARTUP_FAILURE if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes) else 0


def _load_settings(arguments: ServeOptions) -> Settings:
    options: dict[str, Any] = {name: getattr(arguments, name) for name in SETTING_OPTIONS}
    settings = resolve_placement(load_settings(**{name: value for name, value in options.items() if value is not None}))
    # One socket per service: services with an external Redis may share a data folder.
    socket = settings.model_socket or settings.data_dir.resolve() / f"model-{os.getpid()}.sock"
    return settings.model_copy(update={"model_socket": socket})


@contextmanager
def _share_metrics() -> Iterator[None]:
    """Create the folder through which workers share counters, so that any of them can serve /metrics for all."""
    folder = tempfile.mkdtemp(prefix="nextup-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _announce(address: Address, folder: Path, log_format: LogFormat, *, demo: bool) -> None:
    """Say where the service is, once it answers there."""
    if log_format == "json":
        log.info("nextup serves %s on %s", folder, address)
        return
    lines = [f"nextup serves {folder}"]
    if address.path:
        lines += [f"  socket   {address.path}", f"  health   {address.curl}/readyz"]
    else:
        base = address.url
        lines += [f"  page     {base}/", f"  API      {base}/docs", f"  metrics  {base}/metrics"]
    if demo:
        body = '{"user_id": "ada", "k": 5}'
        lines.append(f"  try      {address.curl}/recommend -H 'content-type: application/json' -d '{body}'")
    print("\n".join(lines), file=sys.stderr, flush=True)
