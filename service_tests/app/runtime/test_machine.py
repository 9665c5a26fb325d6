"""Cores and memory that this process may use."""

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
