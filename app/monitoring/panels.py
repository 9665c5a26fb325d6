"""A dashboard as this project describes it, and as Grafana reads it.

Knows the JSON of three kinds of panel. What is on a dashboard is in the files beside this one. The JSON is written by
hand and not by Grafana's own library, see DECISIONS.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

DATASOURCE = {"type": "prometheus", "uid": "nextup-prometheus"}
"""Named so in docker/grafana/provisioning/datasources."""
TAG = "nextup"
COLUMNS = 24
SCHEMA_VERSION = 39
"""Of the JSON: Grafana 11 wrote it, later ones read it."""
HEIGHTS = {"stat": 4, "timeseries": 8, "bargauge": 8}


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    told: str
    """What it shows and what to think of it; Grafana shows it behind the i."""
    unit: str
    """By Grafana's id: s, bytes, reqps, percentunit, short, …"""
    queries: tuple[Query, ...]
    kind: Literal["stat", "timeseries", "bargauge"] = "timeseries"
    width: int = 8
    stacked: bool = False
    bad_above: float | None = None
    """Red from here on: the limit of the alert, where there is one."""
    bad_below: float | None = None
    names_alone: bool = False
    """A stat that shows its legend and not its value."""


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    name: str
    """Of its file, and of its address: nextup-<name>."""
    title: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> Iterator[Panel]:
        return (panel for row in self.rows for panel in row.panels)


def grafana_dashboard(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON; ids by position, so that the same description always gives the same text."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in dashboard.rows:
        panels.append(_placed(len(panels) + 1, 0, top, COLUMNS, 1, {"type": "row", "title": row.title}) | _OPEN)
        top += 1
        left, height = 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, height = top + height, 0, 0
            tall = HEIGHTS[panel.kind]
            panels.append(_placed(len(panels) + 1, left, top, panel.width, tall, _panel(panel)))
            left, height = left + panel.width, max(height, tall)
        top += height
    others = {"type": "dashboards", "tags": [TAG], "title": "nextup", "asDropdown": False, "keepTime": True}
    return {
        "uid": f"nextup-{dashboard.name}",
        "title": f"nextup: {dashboard.title}",
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,  # one cursor in all panels
        "links": [others],
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": panels,
    }


_OPEN: dict[str, Any] = {"collapsed": False, "panels": []}


def _placed(number: int, left: int, top: int, width: int, height: int, content: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "gridPos": {"x": left, "y": top, "w": width, "h": height}} | content


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.told,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "range": True,
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_above is not None:
        steps.append({"color": "red", "value": panel.bad_above})
    if panel.bad_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.bad_below}]
    found: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        lines = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if panel.stacked else 0, "showPoints": "never"}
        mode = {"stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"}}
        limit = {"thresholdsStyle": {"mode": "line" if panel.bad_above is not None else "off"}}
        found |= {"color": {"mode": "palette-classic"}, "custom": lines | mode | limit}
    return found


def _options(panel: Panel) -> dict[str, Any]:
    last = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if panel.kind == "stat":
        return last | {
            "colorMode": "value",
            "graphMode": "none" if panel.names_alone else "area",
            "textMode": "name" if panel.names_alone else "auto",
        }
    if panel.kind == "bargauge":
        return last | {"displayMode": "basic", "orientation": "horizontal"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
