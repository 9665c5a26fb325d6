"""What a load needed for a moment does not stay in the process."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from app.runtime.memory import trim_heap

def own():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

pieces = [bytearray(60_000) for _ in range(4_000)]
last = bytearray(60_000)
del pieces
before = own()
trim_heap()
print(before, own())
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="there is no /proc to look at")
def test_freed_memory_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert before - after > 200_000, "of 240 MB that were freed, in kB"
