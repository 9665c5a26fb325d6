"""Dashboard model and its conversion to Grafana's JSON.

Supports three kinds of panel. The JSON is written directly, because Grafana's SDK is 53,000 generated lines for each
version of Grafana.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from app.monitoring.annotations import make_annotations
from app.monitoring.promql import QUANTILES, quantile
from app.monitoring.rules import Runbook
from app.monitoring.variables import PANEL_DATASOURCE, make_variables, select_instances

TAG = "nextup"
COLUMNS = 24
SCHEMA_VERSION = 39
"""JSON schema of Grafana 11; later versions read it."""
HEIGHTS = {"stat": 4, "timeseries": 8, "bargauge": 8}


@dataclass(frozen=True, slots=True)
class Series:
    """A PromQL query, without the variables of dashboards, and the legend of its series."""

    expr: str
    legend: str = ""

    @property
    def selected_expr(self) -> str:
        """The query for the job and the instances that the reader has chosen."""
        return select_instances(self.expr)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel; `bad_above` and `bad_below` are thresholds beyond which it turns red."""

    title: str
    description: str
    """What the panel shows and how to read it; Grafana displays it behind the info icon."""
    unit: str
    """Grafana unit id: s, bytes, reqps, percentunit, short, …"""
    queries: tuple[Series, ...]
    kind: Literal["stat", "timeseries", "bargauge"] = "timeseries"
    width: int = 8
    stacked: bool = False
    bad_above: float | None = None
    """The limit of the alert, where there is one."""
    bad_below: float | None = None
    legend_only: bool = False
    """For a stat: show the legend instead of the value."""
    alert: str = ""
    """Name of the alert whose section of the runbook explains the panel."""


def make_quantile_panels(description: str, histogram: str, label: str) -> tuple[Panel, ...]:
    """Make one panel per quantile of a histogram in seconds, with one series per value of `label`."""
    return tuple(
        Panel(name, description, "s", (Series(quantile(fraction, histogram, label), f"{{{{{label}}}}}"),))
        for fraction, name in QUANTILES.items()
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A titled group of panels."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard; `name` is its file name and the last part of its address, `nextup-<name>`."""

    name: str
    title: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> Iterator[Panel]:
        return (panel for row in self.rows for panel in row.panels)


def to_grafana_json(dashboard: Dashboard, runbook: Runbook) -> dict[str, Any]:
    """Convert a dashboard; ids follow the position, so the same description always gives the same text."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in dashboard.rows:
        panels.append(_place(len(panels) + 1, 0, y, COLUMNS, 1, {"type": "row", "title": row.title}) | _EXPANDED)
        y += 1
        x, row_height = 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                y, x, row_height = y + row_height, 0, 0
            height = HEIGHTS[panel.kind]
            panels.append(_place(len(panels) + 1, x, y, panel.width, height, _convert_panel(panel, runbook)))
            x, row_height = x + panel.width, max(row_height, height)
        y += row_height
    others = {"type": "dashboards", "tags": [TAG], "title": "nextup", "asDropdown": False, "keepTime": True}
    links = [others | {"includeVars": True}, *_make_links("Runbook", runbook.url)]
    return {
        "uid": f"nextup-{dashboard.name}",
        "title": f"nextup: {dashboard.title}",
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,  # shared crosshair
        "links": links,
        "templating": {"list": make_variables()},
        "annotations": {"list": make_annotations()},
        "panels": panels,
    }


_EXPANDED: dict[str, Any] = {"collapsed": False, "panels": []}


def _place(panel_id: int, x: int, y: int, width: int, height: int, content: dict[str, Any]) -> dict[str, Any]:
    return {"id": panel_id, "gridPos": {"x": x, "y": y, "w": width, "h": height}} | content


def _make_links(title: str, url: str | None) -> list[dict[str, Any]]:
    """Make the link to a page; none without an absolute address, because Grafana would look for it at its own."""
    return [] if url is None else [{"type": "link", "title": title, "url": url, "targetBlank": True}]


def _convert_panel(panel: Panel, runbook: Runbook) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": PANEL_DATASOURCE,
        "links": _make_links(f"Runbook: {panel.alert}", runbook.find_url(panel.alert)) if panel.alert else [],
        "fieldConfig": {"defaults": _make_field_defaults(panel), "overrides": []},
        "options": _make_options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": PANEL_DATASOURCE,
                "expr": query.selected_expr,
                "legendFormat": query.legend or "__auto",
                "range": True,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def _make_field_defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_above is not None:
        steps.append({"color": "red", "value": panel.bad_above})
    if panel.bad_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.bad_below}]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        lines = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if panel.stacked else 0, "showPoints": "never"}
        stacking = {"stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"}}
        threshold_line = {"thresholdsStyle": {"mode": "line" if panel.bad_above is not None else "off"}}
        defaults |= {"color": {"mode": "palette-classic"}, "custom": lines | stacking | threshold_line}
    return defaults


def _make_options(panel: Panel) -> dict[str, Any]:
    last_value = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if panel.kind == "stat":
        return last_value | {
            "colorMode": "value",
            "graphMode": "none" if panel.legend_only else "area",
            "textMode": "name" if panel.legend_only else "auto",
        }
    if panel.kind == "bargauge":
        return last_value | {"displayMode": "basic", "orientation": "horizontal"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
