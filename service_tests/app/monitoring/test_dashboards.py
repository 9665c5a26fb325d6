"""Committed dashboards: generated from their description, valid for Grafana, and reading only existing metrics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.commands.main import main
from app.monitoring.alerts import make_alerts, make_recording_rules
from app.monitoring.files import DASHBOARDS, render_files
from app.monitoring.panels import COLUMNS, DATASOURCE
from app.monitoring.rules import TimeScale
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
            assert target["datasource"] == panel["datasource"] == DATASOURCE
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


@pytest.mark.anyio
async def test_queries_read_only_metrics_that_the_service_exposes(service: Service) -> None:
    text = (await service.http.get("/metrics")).text
    exposed = RECORDED | PROMETHEUS_METRICS
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        exposed |= {f"{name}{part}" for part in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    queries = [query.expr for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries]
    queries += [rule.expr for rule in make_recording_rules(TimeScale())]
    queries += [alert.expr for alert in make_alerts(TimeScale())]
    assert len(queries) > 50
    unknown = {name: query for query in queries for name in find_metric_names(query) - exposed}
    assert unknown == {}


def test_metric_names_are_parsed_from_a_query() -> None:
    query = 'sum by (route) (rate(a_total{b="c_total"}[5m])) / on () group_left () (x:y:z > 0) or vector(0)'
    assert find_metric_names(query) == {"a_total", "x:y:z"}
