"""Every file that is made from the descriptions beside this one, by its path in the folder `docker`."""

import json

from app.monitoring.alerts import alerts, recordings
from app.monitoring.latency import LATENCY
from app.monitoring.memory import MEMORY
from app.monitoring.overview import OVERVIEW
from app.monitoring.panels import grafana_dashboard
from app.monitoring.quality import MODEL_AND_QUALITY
from app.monitoring.rules import Clock, rule_file
from app.monitoring.store import STORE_AND_EVENTS

DASHBOARDS = (OVERVIEW, LATENCY, MEMORY, STORE_AND_EVENTS, MODEL_AND_QUALITY)
RULES = "prometheus-rules.yml"
MADE = "# Made by `nextup monitoring`, from app/monitoring; changes here are lost.\n"


def files() -> dict[str, str]:
    found = {
        f"grafana/dashboards/{dashboard.name}.json": json.dumps(grafana_dashboard(dashboard), indent=2) + "\n"
        for dashboard in DASHBOARDS
    }
    return found | {RULES: MADE + rules()}


def rules(scale: float = 1.0) -> str:
    """The rule file, all times in it shorter by `scale`."""
    clock = Clock(scale)
    return rule_file(recordings(clock), alerts(clock), clock)
