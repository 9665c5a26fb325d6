"""Output of child processes, in particular that no part of it is lost."""

import signal
import subprocess
import sys
import time

import pytest

from app.runtime.subprocesses import build_child_environment

pytestmark = pytest.mark.process

LENGTH = 300_000
"""Several times what a pipe holds."""
WRITE = f"from app.runtime.subprocesses import write_output; write_output(bytes({LENGTH}))"


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_output_is_whole_after_the_writer_was_stopped_and_continued(unbuffered: str) -> None:
    environment = build_child_environment({"PYTHONUNBUFFERED": unbuffered})
    with subprocess.Popen([sys.executable, "-c", WRITE], stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        first = child.stdout.read(1)  # the child has begun to write and waits for the reader
        for stop_or_continue in (signal.SIGSTOP, signal.SIGCONT):
            child.send_signal(stop_or_continue)
            time.sleep(0.05)
        assert len(first + child.stdout.read()) == LENGTH
    assert child.returncode == 0
