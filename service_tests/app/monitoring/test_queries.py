"""Every query of every panel and of every alert, asked of a real Prometheus that watches a real service at work.

A query that is right as a text may still find nothing: a label that is called otherwise, two sides that do not match.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.commands.main import main
from app.monitoring.alerts import alerts, recordings
from app.monitoring.files import DASHBOARDS, rules
from app.monitoring.panels import Panel, Query
from app.monitoring.promql import WINDOW
from app.monitoring.rules import Clock
from service_tests.support.nextup_process import run_service
from service_tests.support.prometheus_server import Prometheus, needs_prometheus, run_prometheus, wait_until

pytestmark = [needs_prometheus, pytest.mark.slow]
WITHOUT_DATA_ON_A_CPU = {("memory", "Device")}
SCALE = 1 / 60
QUERIES = [
    pytest.param(dashboard.name, panel, query, id=f"{dashboard.name}: {panel.title}: {query.legend}")
    for dashboard in DASHBOARDS
    for panel in dashboard.panels
    for query in panel.queries
]


@pytest.fixture(scope="module")
def prometheus(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has watched some seconds of made-up visitors, as `docker compose --profile load up` sends them."""
    folder = tmp_path_factory.mktemp("watched")
    with (
        run_service(folder / "data", "--artifact", str(tiny_artifact)) as served,
        run_prometheus(served.url, rules(SCALE), folder) as watched,
    ):
        assert main(["bench", "traffic", "--url", served.url, "--rate", "60", "--users", "20", "--seconds", "3"]) == 0
        wait_until(lambda: len(watched.ask("nextup:http_errors:share5m")) == 1, 10, lambda: "no rule was evaluated")
        yield watched


def numbers(prometheus: Prometheus, query: str) -> list[float]:
    found = prometheus.ask(query.replace(WINDOW, "20s"))
    return [value for _, value in found if math.isfinite(value)]


@pytest.mark.parametrize(("dashboard", "panel", "query"), QUERIES)
def test_every_query_of_every_panel_finds_something(
    dashboard: str, panel: Panel, query: Query, prometheus: Prometheus
) -> None:
    found = numbers(prometheus, query.expr)
    if (dashboard, panel.title) in WITHOUT_DATA_ON_A_CPU:
        assert found == [], "it is no exception any more"
    else:
        assert found, query.expr
        assert min(found) >= 0


@pytest.mark.parametrize("alert", alerts(Clock(SCALE)), ids=lambda alert: str(alert.name))
def test_what_an_alert_measures_is_there_while_all_is_well(alert: object, prometheus: Prometheus) -> None:
    [one] = [each for each in alerts(Clock(SCALE)) if each == alert]
    assert len(numbers(prometheus, one.measure)) == 1
    if one.name != "NextupSlow":  # which may be true of a machine that has other things to do
        assert prometheus.ask(one.expr) == [], "and is within its limit"


@pytest.mark.parametrize("recording", recordings(Clock(SCALE)), ids=lambda recording: str(recording.name))
def test_what_is_recorded_is_there(recording: object, prometheus: Prometheus) -> None:
    [one] = [each for each in recordings(Clock(SCALE)) if each == recording]
    assert len(numbers(prometheus, one.name)) == 1


def test_the_figures_are_those_of_the_load(prometheus: Prometheus) -> None:
    [(_, answered)] = prometheus.ask('sum(nextup_http_requests_total{route="/recommend"})')
    assert 90 < answered < 240, "three seconds at 60 requests per second, a tenth of them events"
    [(_, p99)] = prometheus.ask("nextup:recommend_seconds:p99_5m")
    assert 0 < p99 < 2.5
    [(_, by_model)] = prometheus.ask('sum(nextup_recommendations_total{served_by="model"})')
    assert by_model > 0.9 * answered, "visitors have histories"


def test_the_page_of_rules_says_that_each_is_well_and_was_evaluated(prometheus: Prometheus) -> None:
    [group] = prometheus.http.get("/api/v1/rules").json()["data"]["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    assert len(group["rules"]) == len(alerts(Clock())) + len(recordings(Clock()))
