"""Model repositories for tests, published by the code of the real command."""

import json
from pathlib import Path

from app.model_repository.publish import add_version
from app.model_repository.repository import ModelRepository
from service_tests.support.artifacts import write_tiny_artifact

WEIGHTS_FILE = "model.safetensors"


def read_artifact_version(artifact: Path) -> str:
    version: str = json.loads((artifact / "manifest.json").read_text())["version"]
    return version


def add_versions(folder: Path, *artifacts: Path) -> list[str]:
    """Copy artifacts into the repository and return their versions."""
    return [add_version(folder, artifact)[0].version for artifact in artifacts]


def publish_versions(folder: Path, *artifacts: Path) -> list[str]:
    """Copy artifacts into the repository, make the first one the target, and return their versions."""
    versions = add_versions(folder, *artifacts)
    ModelRepository(folder).set_target_version(versions[0])
    return versions


def write_tiny_artifacts(folder: Path, *seeds: int, num_items: int = 60) -> list[Path]:
    return [write_tiny_artifact(folder / f"seed-{seed}", seed=seed, num_items=num_items) for seed in seeds]


def corrupt_byte(artifact: Path, name: str = WEIGHTS_FILE) -> None:
    """Replace a file by one with a flipped bit; a service may still map the old file."""
    content = bytearray((artifact / name).read_bytes())
    content[-1] ^= 1
    (artifact / name).unlink()
    (artifact / name).write_bytes(content)
