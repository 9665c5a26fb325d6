"""`trim_heap` returns the temporary memory of a load to the system."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

PROGRAM = """
import sys
from app.runtime.memory import trim_heap


def read_private_kb():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

pieces = [bytearray(60_000) for _ in range(4_000)]
last = bytearray(60_000)
del pieces
before = read_private_kb()
trim_heap()
print(before, read_private_kb())
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="requires /proc")
def test_freed_memory_is_returned_to_the_system() -> None:
    process = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    before, after = map(int, process.stdout.split())
    assert before - after > 200_000, "in kB, of 240 MB that were freed"
