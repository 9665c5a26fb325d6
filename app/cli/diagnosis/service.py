"""Checks of the resources that a service would use: settings, folders, Redis, the port and the artifact."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from app.cli.diagnosis.check import Check
from app.cli.listening import Address, bind_listener, bind_unix_listener, format_url, identify_server
from app.cli.preflight import check_output_folder
from app.environment import find_unknown_variables
from app.history_types import describe_difference
from app.model_repository.repository import ModelRepository
from app.settings import Settings
from app.stores.redis.data_folder import choose_server
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.redis.servers import list_servers
from app.stores.session import open_store

BY_ANOTHER_NEXTUP = " by another nextup"


def list_service_checks(settings: Settings) -> Mapping[str, Callable[[], Check]]:
    checks = {
        "settings": check_variables,
        "data folder": check_data_folder,
        "redis": check_redis,
        "port": check_port,
        "artifact": check_artifact,
    }
    return {subject: partial(check, settings) for subject, check in checks.items()}


def check_variables(settings: Settings) -> Check:
    """Check for variables that no setting reads; wrong values have been reported before."""
    if lines := find_unknown_variables():
        finding, _, action = lines[0].partition("; ")
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        return Check("settings", "warning", f"{finding}{more}", action)
    changed = sorted(f"NEXTUP_{name.upper()}" for name in settings.model_fields_set)
    return Check("settings", "ok", f"set: {', '.join(changed)}" if changed else "all have their defaults")


def check_data_folder(settings: Settings) -> Check:
    folder = settings.data_dir.resolve()
    check_output_folder(folder, "NEXTUP_DATA_DIR")
    return Check("data folder", "ok", f"{folder} can be written")


def check_redis(settings: Settings) -> Check:
    """Check the configured Redis, else the embedded one of a running service, else that one can be started."""
    if settings.redis_url is not None:
        return _check_server(settings.redis_url.get_secret_value(), settings, "NEXTUP_REDIS_URL")
    if (url := EmbeddedRedis.find_running_url(settings.data_dir)) is not None:
        return _check_server(url, settings, "embedded Redis of a running service")
    server = choose_server(settings.data_dir.resolve() / "redis", list_servers())
    return Check("redis", "ok", f"NEXTUP_REDIS_URL is unset; a service starts {server}")


def _check_server(url: str, settings: Settings, name: str) -> Check:
    async def read_store() -> tuple[int, int, int]:
        async with open_store(url, settings) as store:
            usage = await store.read_usage()
            return usage.memory_bytes, usage.limit_bytes, usage.keys

    memory, limit, keys = asyncio.run(read_store())
    finding = f"{name} answers: {keys:,} keys, {memory / 1e6:,.0f} MB"
    if limit and memory > 0.9 * limit:
        return Check("redis", "warning", f"{finding} of {limit / 1e6:,.0f} MB", "raise maxmemory or remove data")
    return Check("redis", "ok", finding)


def check_port(settings: Settings) -> Check:
    """Check that a service could listen; one that already does is in order."""
    path = settings.unix_socket
    address = Address(settings.host, settings.port) if path is None else Address(path=str(path))
    place = format_url(settings.host, settings.port) if path is None else str(address)
    if (settings.port or path is not None) and identify_server(address) == BY_ANOTHER_NEXTUP:
        return Check("port", "ok", f"a nextup service answers on {place}")
    if path is None:
        bind_listener(settings.host, settings.port).close()
    else:
        with bind_unix_listener(path):
            pass
    return Check("port", "ok", f"{place} is free")


def check_artifact(settings: Settings) -> Check:
    """Load the version that a service would serve; this checks digests and golden outputs."""
    repository = ModelRepository(settings.artifact)
    if not repository.has_artifact():
        return Check(
            "artifact",
            "warning",
            f"{settings.artifact} holds none",
            "train one (`nextup train LOG --out DIR`), try `nextup serve --demo`, or pass --artifact",
        )
    from models.artifact import load_artifact  # loads torch, whose absence is the finding of another check

    artifact = load_artifact(repository.find_target_folder(), device="cpu")
    size = sum(file["bytes"] for file in artifact.manifest["files"].values())
    finding = f"{artifact.preset} {artifact.version}, {artifact.catalogue.num_items:,} items, {size / 1e6:,.1f} MB"
    if (difference := describe_difference(settings.history_types, artifact.manifest)) is not None:
        problem, _, action = difference.partition("; ")
        return Check("artifact", "warning", f"{finding}, golden outputs match, but {problem}", action)
    return Check("artifact", "ok", f"{finding}, golden outputs match")
