"""Ids that nobody else has: not in this process, not in one that is forked off it."""

import re
import subprocess
import sys

from app.telemetry.random_id import random_id


def test_an_id_is_32_hexadecimal_digits_and_no_other_is_the_same() -> None:
    ids = [random_id() for _ in range(10_000)]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert len(set(ids)) == len(ids)


def test_a_forked_process_goes_its_own_way() -> None:
    code = "import os; from app.telemetry.random_id import random_id; os.fork() and os.wait(); print(random_id())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    one, other = done.stdout.split()
    assert one != other
