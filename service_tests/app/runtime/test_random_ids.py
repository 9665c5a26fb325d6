"""Generated ids are unique, within a process and across a fork."""

import re
import subprocess
import sys

import pytest

from app.runtime.random_ids import generate_id


def test_ids_are_32_hexadecimal_digits_and_unique() -> None:
    ids = [generate_id() for _ in range(10_000)]
    assert all(re.fullmatch("[0-9a-f]{32}", item) for item in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.process
def test_forked_process_generates_other_ids() -> None:
    code = """
import os
from app.runtime.random_ids import generate_id
os.fork() and os.wait()
print(generate_id())
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = process.stdout.split()
    assert first != second
