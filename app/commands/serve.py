"""`nextup serve`: run the service in the foreground, with an embedded Redis and worker processes.

Prepares what the processes share; `app/supervision` runs them, and the work of a worker is in app/worker, app/main.py,
app/lifespan.py and app/resources.py.
"""

import logging.config
import os
import signal
import socket
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.cli.listening import Address, bind_listener, bind_unix_listener, call_when_ready
from app.commands.options.serve import ServeOptions
from app.environment import find_unknown_variables, load_settings
from app.errors import ArtifactRejected
from app.model_repository.repository import ModelRepository, read_version
from app.model_server.activation import load_best_version
from app.model_server.placement import resolve_placement
from app.model_server.socket_path import prepare_model_socket
from app.settings import LogFormat, Settings
from app.stores.redis.supervisor import run_embedded_redis
from app.supervision.metrics_folder import share_metrics
from app.telemetry.logs import log_config
from models.manifest import MANIFEST

log = logging.getLogger("nextup")

SETTING_OPTIONS = ("artifact", "host", "port", "unix_socket", "workers", "model_process")


def run(arguments: ServeOptions) -> int:
    # Process 1 of a container ignores SIGTERM without a handler, for example while the demo trains; sys.exit closes
    # everything below. The supervisor has its own handler while it runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = _load_settings(arguments)
    logging.config.dictConfig(log_config(settings.log_format))
    for line in find_unknown_variables():
        log.warning("%s", line)
    with ExitStack() as stack:
        listener = _bind(settings, stack)  # first: what follows takes long, and would be in vain
        address = Address.from_listener(listener)
        settings = settings.model_copy(update={"port": address.port or settings.port})
        stack.enter_context(share_metrics())
        if arguments.demo:
            from app.commands.demo import ensure_demo  # imports training code, which serving does not need

            ensure_demo(settings.artifact)
        folder = _find_folder(settings.artifact)  # fails here rather than in every worker
        if settings.redis_url is None:
            url = stack.enter_context(
                run_embedded_redis(settings.data_dir, settings.durability, stall_s=settings.stall_s)
            )
            settings = settings.model_copy(update={"redis_url": SecretStr(url)})
        if arguments.demo:
            from app.commands.demo import load_demo_histories

            load_demo_histories(settings)
        os.environ.update(settings.to_environment())  # all processes read their settings from it
        if settings.model_process == "dedicated":
            prepare_model_socket(settings.model_socket_path)
        # Before the workers have loaded the model, which takes seconds: a terminal that stays empty looks like a hang.
        log.info("starting to serve %s on %s; ready once the model is loaded", folder, address)
        announce = partial(_announce, address, folder, settings.log_format, demo=arguments.demo)
        with call_when_ready(address, announce):
            return _supervise(settings, listener)


def _bind(settings: Settings, stack: ExitStack) -> socket.socket:
    if settings.unix_socket is not None:
        return stack.enter_context(bind_unix_listener(settings.unix_socket))
    return stack.enter_context(bind_listener(settings.host, settings.port))


def _find_folder(artifact: Path) -> Path:
    """Find the folder of the version that will probably serve; ValueError if there is none."""

    def check(folder: Path) -> Path:
        if read_version(folder) is None:
            raise ValueError(f"{folder / MANIFEST} cannot be read; train the artifact again, or serve another folder")
        return folder

    try:
        return load_best_version(ModelRepository(artifact), check)
    except ArtifactRejected as error:
        raise ValueError(error.detail) from None


def _supervise(settings: Settings, listener: socket.socket) -> int:
    """Run all processes until a signal arrives; return a nonzero status if the service could not start."""
    from app.supervision.supervisor import Supervisor  # its counter needs the folder of shared metrics

    return Supervisor(settings, listener).run()


def _load_settings(arguments: ServeOptions) -> Settings:
    options: dict[str, Any] = {name: getattr(arguments, name) for name in SETTING_OPTIONS}
    settings = resolve_placement(load_settings(**{name: value for name, value in options.items() if value is not None}))
    # One socket per service: services with an external Redis may share a data folder.
    socket = settings.model_socket or settings.data_dir.resolve() / f"model-{os.getpid()}.sock"
    return settings.model_copy(update={"model_socket": socket})


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
