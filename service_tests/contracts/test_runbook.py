"""docs/runbook.md: every alert has a section with meaning, impact, diagnosis and mitigation."""

import re
from pathlib import Path

import pytest

from app.monitoring.alerts import make_alerts
from app.monitoring.files import DASHBOARDS
from app.monitoring.rules import Alert, TimeScale
from app.settings import Settings

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs/runbook.md"
TEXT = RUNBOOK.read_text()
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
ALERTS = make_alerts(TimeScale())


def test_sections_follow_the_alerts() -> None:
    assert list(SECTIONS) == [alert.name for alert in ALERTS]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert.name))
def test_section_has_meaning_impact_diagnosis_and_mitigation(alert: Alert) -> None:
    parts = re.findall(r"^\*\*(\w+)\.\*\*", SECTIONS[alert.name], re.MULTILINE)
    assert parts == ["Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert re.search(rf"\({alert.severity}\)", SECTIONS[alert.name].replace("\n", " "))


def test_monitoring_page_names_all_alerts_and_their_number() -> None:
    text = (ROOT / "docs/operations/monitoring.md").read_text()
    assert re.findall(r"`(Nextup\w+)`", text) == [alert.name for alert in ALERTS]
    assert re.findall(r"There are (\d+) alerts", text) == [str(len(ALERTS))]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert.name))
def test_alert_links_to_its_section(alert: Alert) -> None:
    path, _, anchor = alert.runbook.partition("#")
    assert ROOT / path == RUNBOOK
    assert anchor in {name.lower() for name in SECTIONS}


def test_dashboards_panels_and_settings_in_the_runbook_exist() -> None:
    titles = {dashboard.title for dashboard in DASHBOARDS}
    assert set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", TEXT)) <= titles
    panels = {panel.title for dashboard in DASHBOARDS for panel in dashboard.panels}
    quoted = set(re.findall(r'"([^"]+)"', TEXT))
    assert len(quoted) >= 8
    assert quoted <= panels
    assert set(re.findall(r"\bNextup\w+", TEXT)) == set(SECTIONS)
    settings = {f"NEXTUP_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bNEXTUP_\w+", TEXT)) <= settings
