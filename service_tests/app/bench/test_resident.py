"""Resident memory of process trees: shared mappings count once, private memory per process."""

import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from app.bench.resources import read_memory, read_resident

pytestmark = pytest.mark.process

SIZE = 24_000_000
SLACK = 6_000_000
MAPS = """
import mmap, subprocess, sys

file = open(sys.argv[1], "rb")
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
read = sum(mapped[::4096])
own = b"x" * int(sys.argv[2])
below = subprocess.Popen([*sys.orig_argv[:3], *sys.argv[1:3]]) if len(sys.argv) > 3 else None
print("ready" if below is None else "", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_shared_file_counts_once_in_a_process_tree(tmp_path: Path) -> None:
    file = tmp_path / "mapped"
    file.write_bytes(b"1" * SIZE)
    measured = {}
    for extra in ([], ["two"]):
        with subprocess.Popen(
            [sys.executable, "-c", MAPS, str(file), str(SIZE), *extra],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            while process.stdout.readline().strip() != "ready":
                pass
            measured[len(extra)] = read_resident(process.pid), read_memory(process.pid)
            process.communicate()
    (single, _), (two, shared) = measured[0], measured[1]
    assert single is not None
    assert two is not None
    assert shared is not None
    assert abs(two.mapped - single.mapped) < SLACK, "the file counts once"
    assert two.own > single.own + SIZE - SLACK, "private memory counts twice"
    assert shared.rss > two.total + SIZE - SLACK
    assert two.total >= mmap.PAGESIZE


def test_ended_process_has_no_memory() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    assert read_resident(process.pid) is None
