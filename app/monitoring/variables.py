"""Variables of every dashboard, by which it shows one Prometheus, job or instance: datasource, job, instance.

Queries are described without them; `select_instances` adds them to every metric of a query.
"""

import re
from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "nextup-prometheus"}
"""The default one, provisioned under this uid in docker/grafana/provisioning/datasources."""
PANEL_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTORS = 'job=~"$job",instance=~"$instance"'
EVERY_PROCESS = '{__name__=~"nextup_http_requests_total|nextup_consumer_messages_total"%s}'
"""Metrics of which each scraped process of nextup has one; a consumer has no requests."""
REFRESH_WITH_TIME_RANGE = 2
ALSO_THOSE_THAT_ARE_DOWN = {"allValue": ".*"}
"""An instance that is down has no metric and so no place in the list of the variable."""
_TEXT_OR_METRIC = re.compile(r'"[^"]*"|\b(?P<name>nextup_\w+|process_\w+|up)\b(?:\{(?P<matchers>[^}]*)\})?')


def select_instances(expr: str) -> str:
    """Let every metric of a query match the variables."""

    def add(match: re.Match[str]) -> str:
        if match["name"] is None:
            return match[0]
        return f"{match['name']}{{{','.join(filter(None, [match['matchers'], SELECTORS]))}}}"

    return _TEXT_OR_METRIC.sub(add, expr)


def make_variables() -> list[dict[str, Any]]:
    """Make the variables as Grafana's JSON."""
    datasource = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": DATASOURCE["uid"]},
        "includeAll": False,
        "multi": False,
    }
    return [
        datasource,
        _make_label_variable("job", "Job", ""),  # all: jobs that have such metrics, and no other of the same Prometheus
        _make_label_variable("instance", "Instance", ',job=~"$job"') | ALSO_THOSE_THAT_ARE_DOWN,
    ]


def _make_label_variable(name: str, label: str, matchers: str) -> dict[str, Any]:
    query = f"label_values({EVERY_PROCESS % matchers}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": PANEL_DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "current": {"text": "All", "value": "$__all"},
        "includeAll": True,
        "multi": True,
        "refresh": REFRESH_WITH_TIME_RANGE,
        "sort": 1,
    }
