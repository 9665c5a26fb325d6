"""Cores and memory that this process may use."""

from pathlib import Path

import pytest

from app.runtime import machine


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", 7), ("200000 100000", 2), ("150000 100000", 2), ("rubbish", 7)]
)
def test_the_quota_of_a_container_counts(text: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert machine._quota(tmp_path / "cpu.max", 7) == cores
    assert machine._quota(tmp_path / "missing", 7) == 7


def test_the_limit_of_memory_is_that_of_the_container_or_the_machine(tmp_path: Path) -> None:
    group, missing = tmp_path / "memory.max", tmp_path / "missing"
    total = machine.read_memory_limit(missing)
    assert total > 100_000_000
    for text, limit in (("2147483648", min(2_147_483_648, total)), ("max", total), (str(10**18), total)):
        group.write_text(text + "\n")
        assert machine.read_memory_limit(group) == limit
