"""The number of threads is the fastest one, and the smallest of those that are equally fast."""

from collections.abc import Iterator

import pytest
import torch

from models.threads import choose_threads, list_thread_counts, select_fewest_threads


@pytest.fixture
def one_thread() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


class SimulatedMachine:
    """A clock, and work that takes `seconds[threads]` of it."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self._seconds, self._now = seconds, 0.0

    def run(self) -> None:
        self._now += self._seconds[torch.get_num_threads()]

    def read_clock(self) -> float:
        return self._now


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("seconds", "fastest"),
    [
        ({1: 1.0, 2: 0.6, 4: 0.4}, 4),
        ({1: 1.0, 2: 0.6, 4: 3.0}, 2),
        ({1: 1.0, 2: 30.0, 4: 30.0}, 1),
        ({1: 1.0, 2: 0.99, 4: 0.98}, 1),
    ],
)
def test_fastest_count_is_set(seconds: dict[int, float], fastest: int) -> None:
    machine = SimulatedMachine(seconds)
    assert choose_threads(machine.run, most=4, budget_s=1e6, clock=machine.read_clock) == fastest
    assert torch.get_num_threads() == fastest


def test_single_core_is_not_timed() -> None:
    machine = SimulatedMachine({})
    assert choose_threads(machine.run, most=1, clock=machine.read_clock) == 1


def test_candidates_include_the_most() -> None:
    assert list_thread_counts(1) == [1]
    assert list_thread_counts(6) == [1, 2, 4, 6]
    assert list_thread_counts(8) == [1, 2, 4, 8]


def test_larger_count_must_win_clearly() -> None:
    assert select_fewest_threads([1, 2, 4], [1.0, 0.96, 0.93]) == 4
    assert select_fewest_threads([1, 2, 4], [1.0, 0.9, 0.88]) == 2
