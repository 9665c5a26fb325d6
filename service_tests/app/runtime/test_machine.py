"""`auto` follows the cores and the memory that this process may use."""

import os
from pathlib import Path

import pytest

from app.runtime import machine as processes
from app.settings import Settings


def test_auto_is_one_worker_per_core_where_memory_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_free_bytes", lambda: 10**12)
    assert processes.choose_worker_count(tmp_path, "cpu") == processes.count_cores() <= len(os.sched_getaffinity(0))
    assert Settings(workers="auto", artifact=tmp_path, device="cpu").workers == processes.count_cores()  # type: ignore[arg-type]


def test_a_large_artifact_makes_them_fewer_and_never_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "count_cores", lambda: 8)
    monkeypatch.setattr(processes, "_free_bytes", lambda: 4_000_000_000)
    assert processes.choose_worker_count(tmp_path, "cpu") == 6
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(1_000_000_000)
    assert processes.choose_worker_count(tmp_path, "cpu") == 1


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (3, 2), (64, processes.MAX_WORKERS_PER_MODEL)])
def test_a_gpu_is_owned_by_one_process_and_workers_stand_beside_it(
    cores: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "count_cores", lambda: cores)
    assert processes.choose_worker_count(tmp_path, "cuda") == workers
    assert processes.choose_worker_count(tmp_path, "cuda", inside=True) == 1
    kept = Settings(workers="auto", artifact=tmp_path, device="cuda", model_process="inside")  # type: ignore[arg-type]
    assert kept.workers == 1


@pytest.mark.parametrize(
    ("wish", "device", "workers", "where"),
    [
        ("auto", "cuda", 2, "own"),
        ("auto", "cuda", 1, "inside"),
        ("auto", "cpu", 4, "inside"),
        ("own", "cpu", 1, "own"),
        ("inside", "cuda", 4, "inside"),
    ],
)
def test_the_model_has_its_own_process_where_a_gpu_is_shared_or_where_it_is_asked_for(
    wish: str, device: str, workers: int, where: str
) -> None:
    assert processes.resolve_model_process(wish, device, workers) == where


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", 7), ("200000 100000", 2), ("150000 100000", 2), ("rubbish", 7)]
)
def test_the_quota_of_a_container_counts(text: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert processes._quota(tmp_path / "cpu.max", 7) == cores
    assert processes._quota(tmp_path / "missing", 7) == 7


def test_other_words_than_auto_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers"):
        Settings(workers="many", artifact=tmp_path)  # type: ignore[arg-type]


def test_the_limit_of_memory_is_that_of_the_container_or_the_machine(tmp_path: Path) -> None:
    group, missing = tmp_path / "memory.max", tmp_path / "missing"
    machine = processes.read_memory_limit(missing)
    assert machine > 100_000_000
    for text, limit in (("2147483648", min(2_147_483_648, machine)), ("max", machine), (str(10**18), machine)):
        group.write_text(text + "\n")
        assert processes.read_memory_limit(group) == limit
