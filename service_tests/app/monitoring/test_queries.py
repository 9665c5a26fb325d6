"""Every query of every panel and alert, evaluated by a real Prometheus that scrapes a service under load.

A syntactically valid query may still return nothing: a misspelled label, or two sides that do not match.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.commands.main import main
from app.monitoring.alerts import make_alerts, make_recording_rules
from app.monitoring.annotations import ANNOTATIONS, Annotation
from app.monitoring.files import DASHBOARDS, render_rules
from app.monitoring.overview import OVERVIEW
from app.monitoring.panels import Panel, Series
from app.monitoring.promql import WINDOW
from app.monitoring.rules import Alert, RecordingRule, TimeScale
from app.monitoring.variables import select_instances
from service_tests.support.nextup_process import run_service
from service_tests.support.prometheus_server import Prometheus, needs_prometheus, run_prometheus
from service_tests.support.waiting import wait_until

pytestmark = [needs_prometheus, pytest.mark.slow]
EMPTY_ON_A_CPU = {("memory", "Device")}
SCALE = 1 / 60
QUERIES = [
    pytest.param(dashboard.name, panel, query, id=f"{dashboard.name}: {panel.title}: {query.legend}")
    for dashboard in DASHBOARDS
    for panel in dashboard.panels
    for query in panel.queries
]


@pytest.fixture(scope="module")
def server(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus after some seconds of synthetic traffic, as `docker compose --profile load up` sends it."""
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        run_service(folder / "data", "--artifact", str(tiny_artifact)) as service,
        run_prometheus(service.url, render_rules(SCALE), folder) as prometheus,
    ):
        send_feedback(service.url)  # a counter grows from its second scrape on
        assert main(["bench", "traffic", "--url", service.url, "--rate", "60", "--users", "20", "--seconds", "3"]) == 0
        wait_until(lambda: len(prometheus.query("nextup:http_errors:share5m")) == 1, 10, "no rule was evaluated")
        send_feedback(service.url)
        wait_until(lambda: count_clicks(prometheus) > 1, 30, "the feedback was not scraped")
        yield prometheus


def send_feedback(url: str) -> None:
    """Show, click and buy an item of an answer, and ask for an explanation."""
    httpx.post(f"{url}/recommend", json={"history": ["i7"], "explain": True}, timeout=60).raise_for_status()
    answer = httpx.post(f"{url}/recommend", json={"history": ["i7"], "k": 3}, timeout=60).json()
    event = {"user_id": "feedback", "item_id": answer["items"][0]["item_id"], "position": 1}
    events = [
        event | {"type": kind, "recommendation_id": answer["recommendation_id"]}
        for kind in ("impression", "click", "buy")
    ]
    httpx.post(f"{url}/events", json={"events": events}, timeout=60).raise_for_status()


def count_clicks(prometheus: Prometheus) -> float:
    return sum(value for _, value in prometheus.query('nextup_feedback_total{kind="click"}'))


@pytest.fixture
def prometheus(server: Prometheus) -> Prometheus:
    """Prometheus after a successful scrape: one that a busy machine was too slow for leaves no values."""
    wait_until(lambda: server.query("up == 1"), 30, "the service is not scraped")
    return server


def query_values(prometheus: Prometheus, expr: str, instance: str = ".*") -> list[float]:
    series = prometheus.query(expr.replace(WINDOW, "20s").replace("$job", "nextup|").replace("$instance", instance))
    return [value for _, value in series if math.isfinite(value)]


def wait_for_values(prometheus: Prometheus, expr: str) -> list[float]:
    """Query until there are values: a scrape that a busy machine was too slow for ends all series for a while."""
    values: list[float] = []

    def has_values() -> bool:
        values[:] = query_values(prometheus, expr)
        return bool(values)

    wait_until(has_values, 10, f"no values of {expr}")
    return values


@pytest.mark.parametrize(("dashboard", "panel", "query"), QUERIES)
def test_panel_query_returns_data(dashboard: str, panel: Panel, query: Series, prometheus: Prometheus) -> None:
    if (dashboard, panel.title) in EMPTY_ON_A_CPU:
        assert query_values(prometheus, query.selected_expr) == [], "no longer an exception"
    else:
        assert min(wait_for_values(prometheus, query.selected_expr)) >= 0


def test_panels_show_the_instances_that_are_chosen(prometheus: Prometheus) -> None:
    [requests] = [panel for row in OVERVIEW.rows for panel in row.panels if panel.title == "Requests"]
    (query,) = requests.queries
    assert wait_for_values(prometheus, query.selected_expr)
    assert query_values(prometheus, query.selected_expr, instance="another:8000") == []


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=lambda annotation: str(annotation.name))
def test_annotation_marks_only_what_has_happened(annotation: Annotation, prometheus: Prometheus) -> None:
    values = query_values(prometheus, select_instances(annotation.expr))
    assert len(values) == (annotation.name == "Activations"), "the start of the service, less than a minute ago"


@pytest.mark.parametrize("alert", make_alerts(TimeScale(SCALE)), ids=lambda alert: str(alert.name))
def test_alert_measure_has_a_value_and_is_within_its_limit(alert: Alert, prometheus: Prometheus) -> None:
    assert len(wait_for_values(prometheus, alert.measure)) == 1
    if alert.name != "NextupSlow":  # may fire on a busy machine
        assert prometheus.query(alert.expr) == []


@pytest.mark.parametrize("rule", make_recording_rules(TimeScale(SCALE)), ids=lambda rule: str(rule.name))
def test_recording_rule_has_a_value(rule: RecordingRule, prometheus: Prometheus) -> None:
    assert len(wait_for_values(prometheus, rule.name)) == 1


def test_values_match_the_load(prometheus: Prometheus) -> None:
    [(_, requests)] = prometheus.query('sum(nextup_http_requests_total{route="/recommend"})')
    assert 90 < requests < 240, "three seconds at 60 requests per second, a tenth of them events"
    [(_, p99)] = prometheus.query("max_over_time(nextup:recommend_seconds:p99_5m[10m])")
    assert 0 < p99 < 2.5
    [(_, by_model)] = prometheus.query('sum(nextup_recommendations_total{served_by="model"})')
    assert by_model > 0.9 * requests, "synthetic users have histories"


def test_all_rules_are_healthy(prometheus: Prometheus) -> None:
    [group] = prometheus.http.get("/api/v1/rules").json()["data"]["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    assert len(group["rules"]) == len(make_alerts(TimeScale())) + len(make_recording_rules(TimeScale()))
