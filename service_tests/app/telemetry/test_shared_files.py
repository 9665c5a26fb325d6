"""A scrape is answered whatever state the metric files of other processes are in."""

import subprocess
import threading
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from app.telemetry.shared_files import merge_files, read_values
from service_tests.app.telemetry.test_dead_processes import end, start_process

pytestmark = pytest.mark.process
NUM_STARTED = 300


def collect_counters(folder: Path) -> dict[str, float]:
    return {sample.name: sample.value for metric in merge_files(folder) for sample in metric.samples}


@pytest.fixture
def process(tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that has counted 3 and was killed."""
    process = start_process(tmp_path)
    end(process)
    return process


@pytest.mark.usefixtures("process")
@pytest.mark.parametrize("kind", ["counter", "histogram", "gauge_livesum"])
@pytest.mark.parametrize("size", [0, 65536])
def test_file_that_its_process_has_just_created_has_no_metrics(tmp_path: Path, kind: str, size: int) -> None:
    (tmp_path / f"{kind}_999999.db").write_bytes(bytes(size))
    assert collect_counters(tmp_path)["c_total"] == 3


def test_damaged_file_is_omitted_with_a_warning(
    tmp_path: Path, process: "subprocess.Popen[str]", caplog: pytest.LogCaptureFixture
) -> None:
    healthy = (tmp_path / f"counter_{process.pid}.db").read_bytes()
    for name, content in {"cut": healthy[:20], "short": b"\1", "text": healthy[:12] + b"\xff" * 100}.items():
        (tmp_path / f"counter_{name}.db").write_bytes(content)
    counters = collect_counters(tmp_path)
    assert counters["c_total"] == 3
    assert counters["h_count"] == 3
    for name in ("cut", "short", "text"):
        assert f"counter_{name}.db is damaged" in caplog.text


def test_processes_may_start_while_their_files_are_read(tmp_path: Path, process: "subprocess.Popen[str]") -> None:
    values = read_values(tmp_path / f"counter_{process.pid}.db")
    assert values is not None
    ((key, value),) = values.items()

    def start_processes() -> None:
        for number in range(NUM_STARTED):
            counter = MmapedDict(str(tmp_path / f"counter_{1_000_000 + number}.db"))  # type: ignore[no-untyped-call]
            counter.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
            counter.close()  # type: ignore[no-untyped-call]

    thread = threading.Thread(target=start_processes)
    thread.start()
    totals = [collect_counters(tmp_path)["c_total"]]
    while thread.is_alive():
        totals.append(collect_counters(tmp_path)["c_total"])
    totals.append(collect_counters(tmp_path)["c_total"])
    assert totals == sorted(totals)
    assert totals[-1] == value * (1 + NUM_STARTED)
