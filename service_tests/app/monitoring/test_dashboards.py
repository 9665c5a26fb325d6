"""Committed dashboards: generated from their description, valid for Grafana, and reading only existing metrics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter, Gauge

from app.commands.main import main
from app.monitoring.alerts import make_alerts, make_recording_rules
from app.monitoring.annotations import ANNOTATIONS
from app.monitoring.files import DASHBOARDS, render_files
from app.monitoring.panels import COLUMNS
from app.monitoring.rules import TimeScale
from app.monitoring.variables import DATASOURCE, PANEL_DATASOURCE, SELECTORS, select_instances
from app.telemetry import consumer_metrics
from service_tests.app.monitoring.queries import find_metric_names
from service_tests.support.service import Service

DOCKER = Path(__file__).parents[3] / "docker"
RECORDED = {rule.name for rule in make_recording_rules(TimeScale())}
PROMETHEUS_METRICS = {"up", "ALERTS"}
UNITS = {"s", "bytes", "short", "percentunit", "reqps", "ops", "cps"}


def read_committed_dashboards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((DOCKER / "grafana/dashboards").iterdir())]


def select_panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_committed_files_match_their_description() -> None:
    rendered = render_files()
    committed = {name: (DOCKER / name).read_text() for name in rendered}
    assert committed == rendered, "run: nextup monitoring --out docker"
    present = {f"grafana/dashboards/{path.name}" for path in (DOCKER / "grafana/dashboards").iterdir()}
    assert present <= rendered.keys(), "a dashboard file that is not generated"


def test_monitoring_command_writes_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitoring", "--out", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(render_files())
    assert {name: (tmp_path / name).read_text() for name in render_files()} == render_files()


def test_ids_and_uids_are_unique() -> None:
    dashboards = read_committed_dashboards()
    assert len({dashboard["uid"] for dashboard in dashboards}) == len(dashboards) == len(DASHBOARDS)
    for dashboard in dashboards:
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        assert len(dashboard["uid"]) <= 40, "Grafana rejects longer uids"


def test_panels_do_not_overlap() -> None:
    for dashboard in read_committed_dashboards():
        cells = [
            (x, y)
            for position in (panel["gridPos"] for panel in dashboard["panels"])
            for x in range(position["x"], position["x"] + position["w"])
            for y in range(position["y"], position["y"] + position["h"])
        ]
        assert len(set(cells)) == len(cells), dashboard["title"]
        assert max(x for x, _ in cells) < COLUMNS


def test_panel_has_description_unit_and_datasource() -> None:
    for panel in (panel for dashboard in read_committed_dashboards() for panel in select_panels(dashboard)):
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["type"] in {"stat", "timeseries", "bargauge"}
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"] == PANEL_DATASOURCE
            assert target["legendFormat"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)


def test_titles_are_unique_within_a_row() -> None:
    for dashboard in DASHBOARDS:
        for row in dashboard.rows:
            titles = [panel.title for panel in row.panels]
            assert len(set(titles)) == len(titles), (dashboard.name, row.title)


def test_grafana_is_provisioned_with_the_datasource_of_the_panels() -> None:
    text = (DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text()
    assert re.findall(r"^ +uid: (\S+)$", text, re.MULTILINE) == [DATASOURCE["uid"]]
    assert re.findall(r"^ +type: (\S+)$", text, re.MULTILINE) == [DATASOURCE["type"]]
    [interval] = re.findall(r"timeInterval: (\w+)", text)
    assert f"scrape_interval: {interval}\n" in (DOCKER / "prometheus.yml").read_text()


def test_every_dashboard_can_be_limited_to_a_datasource_job_and_instance() -> None:
    for dashboard in read_committed_dashboards():
        datasource, job, instance = dashboard["templating"]["list"]
        assert (datasource["name"], datasource["current"]["value"]) == ("datasource", DATASOURCE["uid"])
        assert (job["name"], instance["name"]) == ("job", "instance")
        for variable in (job, instance):
            assert variable["query"]["query"].endswith(f", {variable['name']})")
            assert (variable["current"]["value"], variable["includeAll"]) == ("$__all", True)
        assert ("allValue" in job, instance["allValue"]) == (False, ".*"), "other jobs are not those of nextup"
        queries = [target["expr"] for panel in select_panels(dashboard) for target in panel["targets"]]
        queries += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
        for query in queries:
            names = find_metric_names(query) - {"ALERTS", "job", "instance"}
            assert query.count(SELECTORS) >= len(names), query
            assert RECORDED.isdisjoint(names), "recorded values have no job and no instance"
            assert re.sub(r"(\{|,)" + re.escape(SELECTORS) + r"\}", "", query).count("job=") == 0, query


def test_selectors_are_added_to_metrics_only() -> None:
    query = 'sum by (job) (rate(nextup_a_total{kind="nextup_b"}[5m])) / (up > 0) or x:y'
    assert select_instances(query) == (
        f'sum by (job) (rate(nextup_a_total{{kind="nextup_b",{SELECTORS}}}[5m])) / (up{{{SELECTORS}}} > 0) or x:y'
    )


def test_every_dashboard_marks_activations_and_restarts() -> None:
    for dashboard in read_committed_dashboards():
        annotations = dashboard["annotations"]["list"]
        assert [annotation["name"] for annotation in annotations] == ["Activations", "Rejected versions", "Restarts"]
        assert all(annotation["enable"] and annotation["datasource"] == PANEL_DATASOURCE for annotation in annotations)


def test_limits_of_panels_are_those_of_alerts_with_a_section_in_the_runbook() -> None:
    alerts = {alert.name for alert in make_alerts(TimeScale())}
    panels = [panel for dashboard in DASHBOARDS for panel in dashboard.panels]
    assert {panel.alert for panel in panels} - {""} <= alerts
    limited = {panel.title for panel in panels if panel.bad_above is not None or panel.bad_below is not None}
    assert {panel.title for panel in panels if panel.alert} >= limited - {"Alerts"}


def test_links_lead_to_sections_of_the_runbook_that_exist(tmp_path: Path) -> None:
    url = "https://wiki.example/nextup/runbook"
    assert main(["monitoring", "--out", str(tmp_path), "--runbook-url", url]) == 0
    headings = re.findall(r"^## (.+)$", (DOCKER.parent / "docs/runbook.md").read_text(), re.MULTILINE)
    sections = {f"{url}#{heading.lower()}" for heading in headings}
    links: list[str] = []
    for path in (tmp_path / "grafana/dashboards").iterdir():
        dashboard = json.loads(path.read_text())
        assert [link["url"] for link in dashboard["links"] if link["type"] == "link"] == [url]
        links += [link["url"] for panel in select_panels(dashboard) for link in panel["links"]]
    assert len(links) > 10
    rules = re.findall(r'runbook_url: "(.+)"', (tmp_path / "prometheus-rules.yml").read_text())
    assert len(rules) == len(make_alerts(TimeScale()))
    assert set(links) | set(rules) == sections


def test_no_link_without_an_address() -> None:
    for dashboard in read_committed_dashboards():
        assert [link["type"] for link in dashboard["links"]] == ["dashboards"]
        assert all(panel["links"] == [] for panel in select_panels(dashboard))


@pytest.mark.parametrize("url", ["docs/runbook.md", "ftp://wiki.example/x", "https://", "https://wiki.example/x#y"])
def test_address_that_is_not_absolute_is_refused(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitoring", "--out", str(tmp_path), "--runbook-url", url]) == 1
    assert "--runbook-url must be a URL such as https://wiki.example/runbook" in capsys.readouterr().err


def list_consumer_metrics() -> set[str]:
    """Names of the series that `nextup consume` exposes at its own address."""
    metrics = [metric for metric in vars(consumer_metrics).values() if isinstance(metric, Counter | Gauge)]
    return {sample.name for metric in metrics for family in metric.collect() for sample in family.samples}


@pytest.mark.anyio
async def test_queries_read_only_metrics_that_the_service_exposes(service: Service) -> None:
    text = (await service.http.get("/metrics")).text
    exposed = RECORDED | PROMETHEUS_METRICS | list_consumer_metrics()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        exposed |= {f"{name}{part}" for part in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    queries = [query.expr for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries]
    queries += [rule.expr for rule in make_recording_rules(TimeScale())]
    queries += [alert.expr for alert in make_alerts(TimeScale())]
    queries += [annotation.expr for annotation in ANNOTATIONS]
    assert len(queries) > 50
    unknown = {name: query for query in queries for name in find_metric_names(query) - exposed}
    assert unknown == {}


def test_metric_names_are_parsed_from_a_query() -> None:
    query = 'sum by (route) (rate(a_total{b="c_total"}[5m])) / on () group_left () (x:y:z > 0) or vector(0)'
    assert find_metric_names(query) == {"a_total", "x:y:z"}
