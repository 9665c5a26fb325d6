"""A real service for one fault: one or two instances, with the Redis, models and disk that the fault needs."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from redis import Redis

from app.model_repository.repository import ModelRepository
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.failures.checked_load import CheckedLoad
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.hanging_model import HangingModel
from service_tests.support.managed_service import ManagedService
from service_tests.support.redis_processes import RedisProcess
from service_tests.support.service_processes import find_processes
from service_tests.support.small_disk import SmallDisk, mount_small_disk
from service_tests.support.versions import publish_versions, write_tiny_artifacts

CHANGE_S = 60.0
POLL_S = 0.02


@dataclass(frozen=True)
class Arrangement:
    """How a service is started for a fault."""

    options: Sequence[str] = ("--workers", "2")
    store: Literal["external", "embedded"] = "external"
    instances: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    has_hanging_model: bool = False
    has_two_versions: bool = False
    is_on_small_disk: bool = False


@dataclass
class Scene:
    """The running parts; faults act on them, and set `repaired_at` when they have repaired what they broke."""

    folder: Path
    instances: list[ManagedService]
    load: CheckedLoad
    redis: RedisProcess | None = None
    model: HangingModel | None = None
    disk: SmallDisk | None = None
    newest_version: Path | None = None
    repaired_at: float | None = None

    @property
    def service(self) -> ManagedService:
        return self.instances[0]

    def find_pids(self, word: bytes) -> list[int]:
        """Processes of the first instance with `word` in their command line."""
        return find_processes(self.service.service, word)

    def signal_first(self, word: bytes, number: signal.Signals) -> int:
        """Send a signal to the first of these processes, and return it."""
        pid = self.find_pids(word)[0]
        os.kill(pid, number)
        return pid

    def find_redis_pid(self) -> int | None:
        """The embedded server, if it answers."""
        url = EmbeddedRedis.find_running_url(self.folder / "disk" if self.disk else self.folder / "0/data")
        if url is None:
            return None
        with Redis.from_url(url, socket_timeout=1.0) as client:
            return int(client.info("server")["process_id"])

    def mark_repaired(self) -> None:
        self.repaired_at = time.monotonic()


def wait_for_change(condition: Callable[[], object], timeout_s: float = CHANGE_S) -> bool:
    """Wait until the condition holds; False if it does not in time, which the figures then show."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


@contextmanager
def open_scene(arrangement: Arrangement, folder: Path) -> Iterator[Scene]:
    """Start everything, and end all of it with the block."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        variables = {"NEXTUP_ARCHIVE": "off", **arrangement.variables}
        redis = disk = model = newest = None
        data_dir = None
        if arrangement.store == "external":
            redis = RedisProcess(folder / "redis", {"save": "", "appendonly": "yes", "appendfsync": "everysec"})
            stack.callback(redis.stop)
            variables["NEXTUP_REDIS_URL"] = f"redis://127.0.0.1:{redis.port}"
        if arrangement.is_on_small_disk:
            disk = stack.enter_context(mount_small_disk(folder / "disk"))
            data_dir = disk.folder
        if arrangement.has_hanging_model:
            model = HangingModel(folder / "hang")
            variables |= model.environment
        artifact = folder / "artifact"
        if arrangement.has_two_versions:
            publish_versions(artifact, *write_tiny_artifacts(folder / "artifacts", 1, 2))
            repository = ModelRepository(artifact)
            older, newer = repository.list_versions()
            repository.set_target_version(older.version)
            newest = newer.folder
        else:
            write_tiny_artifact(artifact)
        options = ["--artifact", str(artifact), *arrangement.options]
        instances = [
            ManagedService(folder / str(number), options, variables, data_dir)
            for number in range(arrangement.instances)
        ]
        load = CheckedLoad([instance.port for instance in instances])
        for instance in instances:
            instance.start()
            stack.callback(_end, instance)
        for instance in instances:
            instance.wait_until_ready()
        yield Scene(folder, instances, load, redis, model, disk, newest)


def _end(instance: ManagedService) -> None:
    """End an instance, whatever the fault left of it."""
    if instance.service.process.poll() is None:
        instance.terminate()
