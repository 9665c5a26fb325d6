"""What can be told of the Helm chart by reading its files: links, versions, users, settings."""

import re
from pathlib import Path

import app
from app.monitoring.files import files
from app.settings import Settings

DOCKER = Path(__file__).parents[2] / "docker"
CHART = DOCKER / "helm/nextup"
TEMPLATES = "".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))


def test_dashboards_and_rules_are_those_that_are_made_and_no_copies() -> None:
    shown = {path.resolve() for path in (CHART / "files").rglob("*") if path.is_file()}
    shown |= {path.resolve() for path in (CHART / "files/dashboards").iterdir()}
    assert shown == {(DOCKER / name).resolve() for name in files()}
    assert all(path.is_symlink() for path in (CHART / "files").iterdir())


def test_the_chart_is_of_this_version() -> None:
    assert f'appVersion: "{app.__version__}"' in (CHART / "Chart.yaml").read_text()


def test_every_setting_that_the_chart_names_exists() -> None:
    named = set(re.findall(r"\bNEXTUP_[A-Z_]+\b", TEMPLATES + (CHART / "values.yaml").read_text()))
    assert {name for name in named if name.removeprefix("NEXTUP_").lower() not in Settings.model_fields} == set()


def test_the_user_of_a_pod_is_the_user_of_the_image() -> None:
    [user] = re.findall(r"useradd --uid (\d+)", (DOCKER / "Dockerfile").read_text())
    assert set(re.findall(r"(?:runAsUser|runAsGroup|fsGroup): (\d+)", TEMPLATES)) == {user}
