"""Marks on the time axis of every dashboard: activated and rejected versions, and replaced processes."""

from dataclasses import dataclass
from typing import Any

from app.monitoring.variables import PANEL_DATASOURCE, select_instances

STEP = "30s"
"""Grafana evaluates an annotation once per step, and joins marks that follow each other."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """Marks the times at which a query has values above 0."""

    name: str
    expr: str
    title: str
    color: str


ANNOTATIONS = (
    Annotation(
        "Activations",
        "(max by (version) (nextup_model_info) > 0) "
        "unless on (version) (max by (version) (nextup_model_info offset 1m) > 0)",
        "version {{version}} serves",
        "blue",
    ),
    Annotation(
        "Rejected versions",
        'sum by (result) (increase(nextup_model_reload_total{result="rejected"}[1m])) > 0',
        "a version was rejected; the log has the reason",
        "orange",
    ),
    Annotation(
        "Restarts",
        "sum by (process, reason) (increase(nextup_restarts_total[1m])) > 0",
        "{{process}} restarted: {{reason}}",
        "red",
    ),
)


def make_annotations() -> list[dict[str, Any]]:
    """Make the annotations as Grafana's JSON."""
    return [
        {
            "name": annotation.name,
            "datasource": PANEL_DATASOURCE,
            "enable": True,
            "hide": False,
            "iconColor": annotation.color,
            "expr": select_instances(annotation.expr),
            "step": STEP,
            "titleFormat": annotation.title,
            "useValueForTime": False,
        }
        for annotation in ANNOTATIONS
    ]
