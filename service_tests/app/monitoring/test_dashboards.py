"""The dashboards that are committed: made from their description, readable for Grafana, and of metrics that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.commands.main import main
from app.monitoring.alerts import alerts, recordings
from app.monitoring.files import DASHBOARDS, files
from app.monitoring.panels import COLUMNS, DATASOURCE
from app.monitoring.rules import Clock
from service_tests.app.monitoring.queries import metrics_of
from service_tests.support.service import Service

DOCKER = Path(__file__).parents[3] / "docker"
RECORDED = {recording.name for recording in recordings(Clock())}
OF_PROMETHEUS = {"up", "ALERTS"}
UNITS = {"s", "bytes", "short", "percentunit", "reqps", "ops", "cps"}


def committed() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((DOCKER / "grafana/dashboards").iterdir())]


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_the_committed_files_are_what_the_description_makes() -> None:
    made = files()
    assert {name: (DOCKER / name).read_text() for name in made} == made, "run: nextup monitoring --out docker"
    beside = {f"grafana/dashboards/{path.name}" for path in (DOCKER / "grafana/dashboards").iterdir()}
    assert beside <= made.keys(), "a file that nothing makes"


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitoring", "--out", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(files())
    assert {name: (tmp_path / name).read_text() for name in files()} == files()


def test_ids_and_addresses_are_unique() -> None:
    assert len({dashboard["uid"] for dashboard in committed()}) == len(committed()) == len(DASHBOARDS)
    for dashboard in committed():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        assert len(dashboard["uid"]) <= 40, "Grafana refuses longer ones"


def test_no_panel_lies_on_another() -> None:
    for dashboard in committed():
        cells = [
            (x, y)
            for place in (panel["gridPos"] for panel in dashboard["panels"])
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(set(cells)) == len(cells), dashboard["title"]
        assert max(x for x, _ in cells) < COLUMNS


def test_each_panel_says_what_it_shows_in_which_unit_and_from_where() -> None:
    for panel in (panel for dashboard in committed() for panel in panels(dashboard)):
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


def test_grafana_is_given_the_datasource_that_the_panels_name() -> None:
    text = (DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text()
    assert re.findall(r"^ +uid: (\S+)$", text, re.MULTILINE) == [DATASOURCE["uid"]]
    assert re.findall(r"^ +type: (\S+)$", text, re.MULTILINE) == [DATASOURCE["type"]]
    [interval] = re.findall(r"timeInterval: (\w+)", text)
    assert f"scrape_interval: {interval}\n" in (DOCKER / "prometheus.yml").read_text()


@pytest.mark.anyio
async def test_every_metric_that_is_asked_for_is_one_that_the_service_exposes(service: Service) -> None:
    text = (await service.http.get("/metrics")).text
    exposed = RECORDED | OF_PROMETHEUS
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        exposed |= {f"{name}{part}" for part in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    asked = [query.expr for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries]
    asked += [recording.expr for recording in recordings(Clock())] + [alert.expr for alert in alerts(Clock())]
    assert len(asked) > 50
    unknown = {name: query for query in asked for name in metrics_of(query) - exposed}
    assert unknown == {}


def test_names_are_found_in_a_query() -> None:
    query = 'sum by (route) (rate(a_total{b="c_total"}[5m])) / on () group_left () (x:y:z > 0) or vector(0)'
    assert metrics_of(query) == {"a_total", "x:y:z"}
