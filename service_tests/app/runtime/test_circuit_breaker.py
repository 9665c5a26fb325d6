"""The circuit breaker in virtual time: when it opens, how it probes, and that it always closes again."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.circuit_breaker import MAX_OPEN_S, MIN_OPEN_S, STEADY_S, CircuitBreaker, State
from service_tests.support.virtual_time import run_in_virtual_time


@dataclass
class Dependency:
    """A dependency that works or not, with the times of its probes and the transitions of its circuit."""

    works: bool = False
    probe_s: float = 0.0
    probed_at: list[float] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    running_probes: int = 0

    async def probe(self) -> None:
        self.probed_at.append(asyncio.get_running_loop().time())
        self.running_probes += 1
        assert self.running_probes == 1, "one probe at a time"
        await asyncio.sleep(self.probe_s)
        self.running_probes -= 1
        if not self.works:
            raise ConnectionError("away")

    def record(self, state: State, _: str) -> None:
        self.states.append(state)


def test_failures_in_a_row_open_it_and_a_success_in_between_does_not() -> None:
    async def run() -> None:
        dependency = Dependency()
        circuit = CircuitBreaker(dependency.probe, on_change=dependency.record)
        for _ in range(5):
            circuit.record_failure("away")
            assert circuit.is_closed
            circuit.record_success()
        circuit.record_failure("away")
        circuit.record_failure("away")
        assert not circuit.is_closed
        assert dependency.states == ["open"]
        await circuit.close()

    run_in_virtual_time(run)


def test_probes_back_off_and_the_first_that_succeeds_closes_it() -> None:
    async def run() -> None:
        dependency = Dependency(probe_s=0.1)
        circuit = CircuitBreaker(dependency.probe, on_change=dependency.record)
        circuit.record_failure("away", 2)
        await asyncio.sleep(10)
        gaps = [after - before for before, after in zip(dependency.probed_at, dependency.probed_at[1:], strict=False)]
        assert dependency.probed_at[0] == pytest.approx(MIN_OPEN_S)
        assert gaps[:4] == pytest.approx([0.3, 0.5, MAX_OPEN_S + 0.1, MAX_OPEN_S + 0.1])
        assert circuit.state == "open"
        dependency.works = True
        await asyncio.sleep(MAX_OPEN_S + 2 * dependency.probe_s)
        assert dependency.states[-2:] == ["half_open", "closed"]
        probes = len(dependency.probed_at)
        await asyncio.sleep(10)
        assert len(dependency.probed_at) == probes, "a closed circuit is not probed"

    run_in_virtual_time(run)


def test_circuit_that_opens_again_soon_keeps_its_pause_and_one_that_was_steady_starts_short() -> None:
    async def run() -> None:
        dependency = Dependency(works=True)
        circuit = CircuitBreaker(dependency.probe)
        pauses = []
        for steady_s in (0.0, 0.0, 0.0, 0.0, STEADY_S + 1):
            await asyncio.sleep(steady_s)
            opened_at = asyncio.get_running_loop().time()
            circuit.record_failure("slow", 2)
            while not circuit.is_closed:  # noqa: ASYNC110 - a test of states, in virtual time
                await asyncio.sleep(0.01)
            pauses.append(dependency.probed_at[-1] - opened_at)
        assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.1])

    run_in_virtual_time(run)


Step = st.sampled_from(["success", "failure", "repair", "break", "wait"])


@given(st.lists(Step, max_size=60))
def test_any_outcomes_leave_one_probe_and_a_circuit_that_closes_once_the_dependency_works(steps: list[str]) -> None:
    async def run() -> None:
        dependency = Dependency(works=True, probe_s=0.05)
        circuit = CircuitBreaker(dependency.probe, on_change=dependency.record)
        failures = 0
        for step in steps:
            was_closed = circuit.is_closed
            if step == "success":
                circuit.record_success()
            elif step == "failure":
                circuit.record_failure("away")
            elif step == "wait":
                await asyncio.sleep(0.4)
            else:
                dependency.works = step == "repair"
            if was_closed and step in ("success", "failure"):
                failures = failures + 1 if step == "failure" else 0
                assert circuit.is_closed == (failures < 2)
            if not circuit.is_closed:
                failures = 0
        dependency.works = True
        await asyncio.sleep(2 * MAX_OPEN_S + 1)
        assert circuit.is_closed
        pairs = set(zip(dependency.states, dependency.states[1:], strict=False))
        assert pairs <= {("open", "half_open"), ("half_open", "open"), ("half_open", "closed"), ("closed", "open")}

    run_in_virtual_time(run)


def test_close_ends_the_probe() -> None:
    async def run() -> None:
        dependency = Dependency(probe_s=1000)
        circuit = CircuitBreaker(dependency.probe)
        circuit.record_failure("away", 2)
        await asyncio.sleep(MIN_OPEN_S + 0.1)
        await circuit.close()
        assert dependency.running_probes == 1, "the probe was cancelled"
        assert len(asyncio.all_tasks()) == 1

    run_in_virtual_time(run)
