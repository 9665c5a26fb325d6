"""A kind of error has one traceback per minute in the log, with the number of those left out."""

import io
import logging
import logging.config

import pytest

from app.telemetry.logs import log_config
from app.telemetry.traceback_limit import INTERVAL_S, MAX_KINDS, TracebackLimit


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def output(clock: FakeClock) -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(clock: FakeClock, output: io.StringIO) -> logging.Logger:
    logger = logging.Logger("nextup")
    handler = logging.StreamHandler(output)
    handler.addFilter(TracebackLimit(clock))
    logger.addHandler(handler)
    return logger


def log_failure(log: logging.Logger, error: Exception, request: int = 0) -> None:
    try:
        raise error
    except type(error):
        log.exception("request %d failed", request)


def test_equal_errors_have_one_traceback_a_minute_and_a_count(
    log: logging.Logger, output: io.StringIO, clock: FakeClock
) -> None:
    for request in range(1000):
        log_failure(log, RuntimeError(f"cause {request}"), request)
        clock.now += INTERVAL_S / 2000
    assert output.getvalue().count("Traceback") == 1
    assert "request 0 failed\n" in output.getvalue()
    clock.now += INTERVAL_S
    log_failure(log, RuntimeError("later"), 1000)
    assert "request 1000 failed (999 more of this kind since the last traceback)\n" in output.getvalue()
    assert output.getvalue().count("Traceback") == 2


def test_other_kinds_and_lines_without_a_traceback_always_pass(log: logging.Logger, output: io.StringIO) -> None:
    for _ in range(5):
        log_failure(log, RuntimeError())
        log_failure(log, ValueError())
        log.warning("slow")
    assert (output.getvalue().count("Traceback"), output.getvalue().count("slow")) == (2, 5)


def test_number_of_kinds_is_bounded(log: logging.Logger, output: io.StringIO) -> None:
    """The kind that occurred least recently is forgotten, and one that occurs all the time is not."""
    for number in range(2 * MAX_KINDS):
        log_failure(log, type(f"Error{number}", (Exception,), {})())
        log_failure(log, KeyError("constant"))
    assert output.getvalue().count("KeyError: 'constant'") == 1
    assert output.getvalue().count("Traceback") == 2 * MAX_KINDS + 1


def test_service_has_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    config = log_config("text")
    logger = logging.getLogger("nextup.traceback-limit-test")
    previous = logging.getLogger().handlers[:]
    try:
        logging.config.dictConfig({**config, "loggers": {}})
        for _ in range(3):
            log_failure(logger, RuntimeError("the model raised"))
    finally:
        logging.getLogger().handlers[:] = previous
    assert capsys.readouterr().err.count("Traceback") == 1
