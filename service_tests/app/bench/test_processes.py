"""Child processes end with their benchmark, and one that ends early reports its output."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.bench.processes import LOOPBACK, find_free_port, run_child
from app.bench.resources import read_cpu_seconds, read_memory
from app.runtime.subprocesses import ChildFailed, build_child_environment, build_python_command

pytestmark = pytest.mark.process

SLEEPS = "import time; time.sleep(60)"
HAS_CHILD = f"""
import subprocess, sys, time
from pathlib import Path
below = subprocess.Popen([sys.executable, "-c", {SLEEPS!r}])
Path(sys.argv[1]).write_text(str(below.pid))
"""


def is_alive(pid: int) -> bool:
    """Return whether it runs; a zombie, which remains in a container without an init, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} is still alive"
        time.sleep(0.01)


def wait_for_pid(path: Path) -> int:
    deadline = time.monotonic() + 60
    while not path.is_file() or not path.read_text():
        assert time.monotonic() < deadline, f"{path} is empty"
        time.sleep(0.01)
    return int(path.read_text())


linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@linux
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_stops_the_process_tree(error: type[BaseException], tmp_path: Path) -> None:
    note = tmp_path / "below"
    pids: list[int] = []

    def benchmark() -> None:
        with run_child("child", ["-c", HAS_CHILD + SLEEPS, str(note)]) as process:
            pids.extend([process.pid, wait_for_pid(note)])
            assert all(map(is_alive, pids))
            raise error

    with pytest.raises(error):
        benchmark()
    assert not is_alive(pids[0])
    wait_for_end(pids[1])


@linux
def test_descendants_of_a_dead_process_are_killed(tmp_path: Path) -> None:
    note = tmp_path / "below"
    with run_child("child", ["-c", HAS_CHILD, str(note)]) as process:
        below = wait_for_pid(note)
        with pytest.raises(ChildFailed):
            process.wait_until_ready(find_free_port(), "/")
        wait_for_end(below)


@linux
def test_children_end_with_a_killed_benchmark() -> None:
    program = (
        "import time; from app.bench.processes import run_child\n"
        f"with run_child('child', ['-c', {SLEEPS!r}]) as process: print(process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=build_child_environment()
    ) as benchmark:
        assert benchmark.stdout is not None
        pid = int(benchmark.stdout.readline())
        time.sleep(0.5)  # the child registers for the death signal of its parent first
        os.kill(benchmark.pid, signal.SIGKILL)
        wait_for_end(pid)


def test_early_exit_reports_the_end_of_the_output() -> None:
    program = "import sys; print('x' * 100_000, file=sys.stderr); print('the reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ChildFailed) as failed, run_child("the service", ["-c", program]) as process:
        process.wait_until_ready(find_free_port(), "/")
    assert "the service ended with status 3" in str(failed.value)
    assert str(failed.value).endswith("the reason")
    assert len(str(failed.value)) < 5_000


def test_wait_until_ready_polls_the_server() -> None:
    port = find_free_port()
    program = (
        "import time, http.server as h; time.sleep(0.3)\n"
        f"h.HTTPServer(('{LOOPBACK}', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    with run_child("child", ["-c", program]) as process:
        process.wait_until_ready(port, "/")


@linux
def test_cpu_time_includes_descendants(tmp_path: Path) -> None:
    busy = "x = 0\nwhile True: x += 1"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with run_child("child", ["-c", program]) as process:
        deadline = time.monotonic() + 30
        while (seconds := read_cpu_seconds(process.pid)) is None or seconds < 0.5:  # the parent itself is idle
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert read_cpu_seconds(process.pid) is None


@linux
def test_memory_includes_descendants_and_counts_shared_pages_once(tmp_path: Path) -> None:
    """Three processes map one file of 64 MB and allocate 16 MB each."""
    shared = tmp_path / "shared"
    shared.write_bytes(bytes(64 << 20))
    program = f"""
import mmap, os, subprocess, sys, time

file = open({str(shared)!r}, "rb")
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
mapped[::4096]
own = b"x" * (16 << 20)
descendants = int(sys.argv[1])
if descendants: subprocess.Popen([sys.executable, "-c", sys.argv[2], str(descendants - 1), sys.argv[2]])
else: open({str(tmp_path / "ready")!r}, "w").write("1")
time.sleep(60)
"""
    with run_child("child", ["-c", program, "2", program]) as process:
        wait_for_pid(tmp_path / "ready")
        memory = read_memory(process.pid)
    assert memory is not None
    shared_once, own = 64 << 20, 3 * (16 << 20)
    assert memory.rss > 3 * shared_once + own
    assert shared_once + own < memory.pss < 2 * shared_once + own
    assert own < memory.uss < memory.pss
    assert read_memory(process.pid) is None


def test_folder_named_app_does_not_shadow_the_package(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('wrong package')")
    process = subprocess.run(
        build_python_command(["-c", "import app.bench.load.profile"]),
        cwd=tmp_path,
        env=build_child_environment(),
        check=False,
    )
    assert process.returncode == 0
