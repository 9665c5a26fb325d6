"""docs/runbook.md: a section for every alert, which says what it means, how to look, and what to do."""

import re
from pathlib import Path

import pytest

from app.monitoring.alerts import alerts
from app.monitoring.files import DASHBOARDS
from app.monitoring.rules import Alert, Clock
from app.settings import Settings

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs/runbook.md"
TEXT = RUNBOOK.read_text()
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
ALERTS = alerts(Clock())


def test_the_sections_are_the_alerts() -> None:
    assert list(SECTIONS) == [alert.name for alert in ALERTS]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert.name))
def test_a_section_means_looks_and_does(alert: Alert) -> None:
    parts = re.findall(r"^\*\*(\w+)\.\*\* \S", SECTIONS[alert.name], re.MULTILINE)
    assert parts == ["Means", "Look", "Do"]
    assert f"({alert.severity})" in SECTIONS[alert.name]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert.name))
def test_an_alert_points_to_its_section(alert: Alert) -> None:
    path, _, anchor = alert.runbook.partition("#")
    assert ROOT / path == RUNBOOK
    assert anchor in {name.lower() for name in SECTIONS}


def test_what_it_points_to_is_there() -> None:
    titles = {dashboard.title for dashboard in DASHBOARDS}
    assert set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", TEXT)) <= titles
    panels = {panel.title for dashboard in DASHBOARDS for panel in dashboard.panels}
    named = set(re.findall(r'"([^"]+)"', TEXT))
    assert len(named) >= 8
    assert named <= panels
    assert set(re.findall(r"\bNextup\w+", TEXT)) == set(SECTIONS)
    settings = {f"NEXTUP_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bNEXTUP_\w+", TEXT)) <= settings
