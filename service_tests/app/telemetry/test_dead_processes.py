"""Counters of ended processes are kept in one file per kind, whatever their number and whoever reads meanwhile."""

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, multiprocess

from app.telemetry.dead_processes import lock_for_reading, merge_dead_processes

pytestmark = pytest.mark.process
_PROGRAM = """
import time
from prometheus_client import Counter, Gauge, Histogram
Counter("c", "A counter.", ["a"]).labels("x").inc(3)
histogram = Histogram("h", "A histogram.", buckets=(1, 2))
for value in (0.5, 1.5, 9):
    histogram.observe(value)
Gauge("g", "A gauge.", multiprocess_mode="livesum").set(1)
print("ready", flush=True)
input()
"""


def start_process(folder: Path) -> "subprocess.Popen[str]":
    """Start a process that has counted something and lives until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PROMETHEUS_MULTIPROC_DIR": str(folder)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def collect(folder: Path) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if metric.type != "gauge"
    }


def list_files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("[ch]*.db"))


def test_counters_of_ended_processes_are_kept_in_one_file_per_kind(tmp_path: Path) -> None:
    living = start_process(tmp_path)
    try:
        for number in range(1, 4):
            end(start_process(tmp_path))
            before = collect(tmp_path)
            merge_dead_processes(tmp_path)
            assert collect(tmp_path) == before
            assert before["c_total", "[('a', 'x')]"] == 3 * (number + 1)
            assert before["h_count", "[]"] == 3 * (number + 1)
            assert list_files(tmp_path) == sorted(
                f"{kind}_{name}.db" for kind in ("counter", "histogram") for name in (living.pid, "dead")
            )
    finally:
        end(living)


def test_files_do_not_change_while_a_scrape_reads_them(tmp_path: Path) -> None:
    end(start_process(tmp_path))
    before = list_files(tmp_path)
    with lock_for_reading(tmp_path):
        merge_dead_processes(tmp_path)
        assert list_files(tmp_path) == before
    merge_dead_processes(tmp_path)
    assert list_files(tmp_path) == ["counter_dead.db", "histogram_dead.db"]


def test_file_of_a_process_that_was_killed_while_it_created_it_is_removed(tmp_path: Path) -> None:
    process = start_process(tmp_path)
    end(process)
    (tmp_path / f"histogram_{process.pid}.db").write_bytes(b"")
    merge_dead_processes(tmp_path)
    assert collect(tmp_path) == {("c_total", "[('a', 'x')]"): 3.0}
