"""Static checks of the Helm chart: symbolic links, version, user and settings."""

import re
from pathlib import Path

import app
from app.monitoring.files import render_files
from app.settings import Settings

DOCKER = Path(__file__).parents[2] / "docker"
CHART = DOCKER / "helm/nextup"
TEMPLATES = "".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))


def test_dashboards_and_rules_are_links_to_the_generated_files() -> None:
    linked = {path.resolve() for path in (CHART / "files").rglob("*") if path.is_file()}
    linked |= {path.resolve() for path in (CHART / "files/dashboards").iterdir()}
    assert linked == {(DOCKER / name).resolve() for name in render_files()}
    assert all(path.is_symlink() for path in (CHART / "files").iterdir())


def test_chart_version_matches_the_app_version() -> None:
    assert f'appVersion: "{app.__version__}"' in (CHART / "Chart.yaml").read_text()


def test_settings_named_in_the_chart_exist() -> None:
    names = set(re.findall(r"\bNEXTUP_[A-Z_]+\b", TEMPLATES + (CHART / "values.yaml").read_text()))
    assert {name for name in names if name.removeprefix("NEXTUP_").lower() not in Settings.model_fields} == set()


def test_pod_runs_as_the_user_of_the_image() -> None:
    [user] = re.findall(r"useradd --uid (\d+)", (DOCKER / "Dockerfile").read_text())
    assert set(re.findall(r"(?:runAsUser|runAsGroup|fsGroup): (\d+)", TEMPLATES)) == {user}
