"""Faults under checked load: no wrong answer, no lost event, and the service recovers, seen in its metrics.

`make test` runs a fault that no other test has under load; `make test-all` runs all of them. The figures of
docs/promises.md are from `python -m service_tests.failures.failure_table`.
"""

import dataclasses
from pathlib import Path

import pytest

from app.monitoring.alerts import make_alerts
from app.monitoring.rules import TimeScale
from service_tests.failures.failure_table import format_row, is_clean
from service_tests.failures.fault_trial import run_fault
from service_tests.failures.faults import FAULTS, NO_ALERT

pytestmark = pytest.mark.slow
ALWAYS = ("worker_stopped",)
STALL_S = "3"
"""Shorter than by default, so that the tests are."""


def mark_optional(name: str) -> object:
    return name if name in ALWAYS else pytest.param(name, marks=pytest.mark.optional)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [*map(mark_optional, FAULTS)])
def test_fault_harms_no_answer_and_no_event(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    variables = {**fault.arrangement.variables, "NEXTUP_STALL_S": STALL_S}
    fault = dataclasses.replace(fault, arrangement=dataclasses.replace(fault.arrangement, variables=variables))
    figures = run_fault(name, fault, tmp_path / "scene")
    assert is_clean(figures), figures
    assert figures["acknowledged"], "events were stored"
    assert figures["metric_change"], f"{fault.metric} did not move: {figures}"
    assert fault.title in format_row(figures)


def test_every_fault_names_an_alert_that_exists() -> None:
    names = {alert.name for alert in make_alerts(TimeScale())}
    assert {fault.alert for fault in FAULTS.values()} <= {*names, NO_ALERT}


def test_wrong_answers_lost_events_and_no_recovery_are_not_clean() -> None:
    clean = {"wrong": 0, "lost": 0, "doubled": 0, "unexpected": 0, "out_of_order": 0, "is_recovered": True}
    assert is_clean(clean)
    for name, value in {"wrong": 1, "lost": 1, "doubled": 1, "out_of_order": 1, "is_recovered": False}.items():
        assert not is_clean({**clean, name: value})
    assert not is_clean({"failure": "the service was not ready"})
