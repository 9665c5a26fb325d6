"""`auto` follows the device, the cores and the memory that this process may use."""

import os
from pathlib import Path

import pytest

from app.model_server import placement
from app.runtime.machine import count_cores
from app.settings import Settings


def test_auto_starts_one_worker_per_core_when_memory_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "read_free_memory", lambda: 10**12)
    assert placement.count_automatic_workers(tmp_path, "cpu") == count_cores() <= len(os.sched_getaffinity(0))
    settings = Settings(workers="auto", artifact=tmp_path, device="cpu")
    assert placement.resolve_placement(settings).workers == count_cores()


def test_unresolved_auto_counts_as_one_worker(tmp_path: Path) -> None:
    assert Settings(workers="auto", artifact=tmp_path).worker_count == 1


def test_large_artifact_reduces_workers_to_no_fewer_than_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "count_cores", lambda: 8)
    monkeypatch.setattr(placement, "read_free_memory", lambda: 4_000_000_000)
    assert placement.count_automatic_workers(tmp_path, "cpu") == 6
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(1_000_000_000)
    assert placement.count_automatic_workers(tmp_path, "cpu") == 1


@pytest.mark.parametrize(("available", "workers"), [(1, 1), (3, 2), (64, placement.MAX_WORKERS_PER_DEVICE)])
def test_one_process_owns_a_gpu_and_several_workers_query_it(
    available: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "count_cores", lambda: available)
    assert placement.count_automatic_workers(tmp_path, "cuda") == workers
    assert placement.count_automatic_workers(tmp_path, "cuda", in_process=True) == 1
    settings = Settings(workers="auto", artifact=tmp_path, device="cuda", model_process="in_process")
    assert placement.resolve_placement(settings).workers == 1


@pytest.mark.parametrize(
    ("requested", "device", "workers", "resolved"),
    [
        ("auto", "cuda", 2, "dedicated"),
        ("auto", "cuda", 1, "in_process"),
        ("auto", "cpu", 4, "in_process"),
        ("dedicated", "cpu", 1, "dedicated"),
        ("in_process", "cuda", 4, "in_process"),
    ],
)
def test_model_gets_its_own_process_when_workers_share_a_gpu_or_on_request(
    requested: str, device: str, workers: int, resolved: str
) -> None:
    assert placement.choose_placement(requested, device, workers) == resolved


@pytest.mark.parametrize("text", ["many", "0", "257", "-1", "1.5", ""])
def test_invalid_worker_count_error_names_the_setting_and_the_range(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"workers\n.*number from 1 to 256, or auto"):
        Settings(workers=text, artifact=tmp_path)  # type: ignore[arg-type]
