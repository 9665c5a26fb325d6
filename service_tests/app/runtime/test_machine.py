"""Cores and memory that this process may use."""

import os
from pathlib import Path

import pytest

from app.runtime import machine


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", 7), ("200000 100000", 2), ("150000 100000", 2), ("invalid", 7)]
)
def test_cpu_quota_of_the_container_limits_the_cores(text: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert machine.read_cpu_quota(7, tmp_path / "cpu.max") == cores
    assert machine.read_cpu_quota(7, tmp_path / "missing") == 7


def test_memory_limit_is_the_smaller_of_container_and_machine(tmp_path: Path) -> None:
    group, missing = tmp_path / "memory.max", tmp_path / "missing"
    total = machine.read_memory_limit(missing)
    assert total > 100_000_000
    for text, limit in (("2147483648", min(2_147_483_648, total)), ("max", total), (str(10**18), total)):
        group.write_text(text + "\n")
        assert machine.read_memory_limit(group) == limit


def test_memory_is_estimated_where_the_system_does_not_report_it(monkeypatch: pytest.MonkeyPatch) -> None:
    total = machine.read_memory_limit(Path("missing"))
    sysconf = os.sysconf

    def read_without_free_pages(name: str) -> int:  # as on macOS
        if name == "SC_AVPHYS_PAGES":
            raise ValueError("unrecognized configuration name")
        return sysconf(name)

    monkeypatch.setattr(os, "sysconf", read_without_free_pages)
    monkeypatch.setattr(Path, "read_text", raise_file_not_found)
    assert machine.read_free_memory() == total // 2
    resident = machine.read_resident_memory()
    assert 10_000_000 < resident < 100 * total, "the peak, in kilobytes on Linux"


def raise_file_not_found(path: Path) -> str:
    raise FileNotFoundError(path)
