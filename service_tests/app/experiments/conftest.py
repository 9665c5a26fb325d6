"""A service with two versions in its repository, and experiments on it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from service_tests.support.experiments import Trial
from service_tests.support.service import run_service
from service_tests.support.versions import publish_versions, write_tiny_artifacts


@dataclass(frozen=True)
class Versions:
    """A repository whose target is `first`."""

    folder: Path
    first: str
    second: str
    third: str


@pytest.fixture(scope="session")
def tiny_versions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_tiny_artifacts(tmp_path_factory.mktemp("versions"), 1, 2, 3)


@pytest.fixture
def versions(tmp_path: Path, tiny_versions: list[Path]) -> Versions:
    return Versions(tmp_path / "models", *publish_versions(tmp_path / "models", *tiny_versions))


@pytest.fixture
async def trial(settings: Settings, versions: Versions) -> AsyncIterator[Trial]:
    async with run_service(settings.with_changes(artifact=versions.folder)) as service:
        yield Trial(service)


def split(first: str | None, second: str | None, share: float = 0.5) -> dict[str, Any]:
    """Body of an experiment with two variants."""
    return {
        "variants": [
            {"name": "control", "share": share, "version": first},
            {"name": "new", "share": share, "version": second},
        ]
    }
