"""The circuit breaker of the model: what counts as its failure, and what does not."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import numpy as np
import pytest

from app.errors import DeadlineExceeded, ModelUnavailable, NotFound, Overloaded, ServiceError
from app.inference import Query, SimilarQuery, TopItems
from app.inference.model_circuit import ModelCircuit
from app.inference.remote.versions import RemoteVersion
from app.runtime.circuit_breaker import State
from service_tests.support.artifacts import tiny_catalogue
from service_tests.support.virtual_time import run_in_virtual_time

CATALOGUE = tiny_catalogue()
QUERY = Query(CATALOGUE.keys.keys[:1], k=1)
PATIENCE_S = 0.5
DEADLINE_S = 1.0


class ScriptedEngine:
    """An engine that answers after `answer_s`, or raises `error`; queries whose deadline passes fail."""

    stalled_s = 0.0
    unavailable_reason = None

    def __init__(self) -> None:
        self.residents: dict[str, object] = {}
        self.resident_problems: dict[str, str] = {}
        self.servable = RemoteVersion("1", CATALOGUE, None)
        self.error: Exception | None = None
        self.answer_s = 0.0
        self.score = 1.0
        self.queries = 0

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        self.queries += 1
        remaining_s = deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(min(remaining_s, self.answer_s))
        if self.answer_s > remaining_s:
            raise DeadlineExceeded("late")
        if self.error is not None:
            raise self.error
        return TopItems([1], [self.score], "model", np.empty(0, dtype=np.int64), "1", CATALOGUE)

    def update_gauges(self) -> None: ...


class Trial:
    """A circuit around a scripted engine, with its transitions."""

    def __init__(self) -> None:
        self.engine = ScriptedEngine()
        self.states: list[State] = []
        self.circuit = ModelCircuit(
            self.engine, patience_s=PATIENCE_S, on_change=lambda state, _: self.states.append(state)
        )

    async def query(self, deadline_s: float = DEADLINE_S) -> type[Exception] | None:
        """Return the class of the error, or None for an answer."""
        try:
            await self.circuit.find_top_items(QUERY, asyncio.get_running_loop().time() + deadline_s)
        except ServiceError as error:
            return type(error)
        return None


def run(test: Callable[[Trial], Awaitable[None]]) -> None:
    async def run_trial() -> None:
        trial = Trial()
        await test(trial)
        await trial.circuit.close()

    run_in_virtual_time(run_trial)


def test_model_that_times_out_twice_is_not_queried_until_a_probe_is_answered() -> None:
    async def test(trial: Trial) -> None:
        trial.engine.answer_s = 100
        assert [await trial.query() for _ in range(2)] == [DeadlineExceeded, DeadlineExceeded]
        queries, started_at = trial.engine.queries, asyncio.get_running_loop().time()
        assert [await trial.query() for _ in range(50)] == [ModelUnavailable] * 50
        assert (trial.engine.queries, asyncio.get_running_loop().time()) == (queries, started_at)
        await asyncio.sleep(5)
        assert await trial.query() is ModelUnavailable
        trial.engine.answer_s = 0.1
        await asyncio.sleep(2)
        assert await trial.query() is None
        assert trial.states[-2:] == ["half_open", "closed"]

    run(test)


def test_queries_that_time_out_together_open_it() -> None:
    async def test(trial: Trial) -> None:
        trial.engine.answer_s = 100
        await asyncio.gather(trial.query(), trial.query())
        assert trial.states == ["open"]

    run(test)


@pytest.mark.parametrize("deadline_s", [0.001, PATIENCE_S * 0.9])
def test_short_deadlines_of_callers_do_not_open_it(deadline_s: float) -> None:
    async def test(trial: Trial) -> None:
        trial.engine.answer_s = 100
        assert [await trial.query(deadline_s) for _ in range(20)] == [DeadlineExceeded] * 20
        assert trial.states == []

    run(test)


def test_timeouts_while_other_queries_are_answered_do_not_open_it() -> None:
    async def test(trial: Trial) -> None:
        async def wait_in_a_long_queue() -> None:
            trial.engine.answer_s = 100
            await trial.query()

        tasks = [asyncio.create_task(wait_in_a_long_queue()) for _ in range(20)]
        await asyncio.sleep(0.5)
        trial.engine.answer_s = 0.01
        assert await trial.query() is None
        await asyncio.gather(*tasks)
        assert trial.states == []

    run(test)


def test_model_that_raises_again_and_again_opens_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test(trial: Trial) -> None:
        trial.engine.error = RuntimeError("out of the ordinary")
        assert [await trial.query() for _ in range(4)] == [ModelUnavailable] * 4
        assert trial.states == []
        await trial.query()
        assert trial.states == ["open"]
        trial.engine.error = None
        await asyncio.sleep(2)
        assert await trial.query() is None

    run(test)
    assert caplog.text.count("out of the ordinary") < 5, "the log has one traceback per interval"
    assert "the model failed 1 time(s)" in caplog.text


def test_score_that_is_not_finite_is_a_failure() -> None:
    async def test(trial: Trial) -> None:
        trial.engine.score = float("nan")
        assert await trial.query() is ModelUnavailable

    run(test)


ERRORS: list[ServiceError] = [NotFound("none"), Overloaded("full"), ModelUnavailable("away")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_that_an_engine_reports_itself_do_not_open_it(error: ServiceError) -> None:
    async def test(trial: Trial) -> None:
        trial.engine.error = error
        assert [await trial.query() for _ in range(20)] == [type(error)] * 20
        assert trial.states == []

    run(test)


@pytest.fixture(autouse=True)
def captured_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("ERROR", logger="nextup"):
        yield
