"""The version that a start serves: the target, or the newest older one that loads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import ArtifactRejected
from app.model_repository.repository import ModelRepository, read_version
from app.model_server.activation import load_best_version
from service_tests.support.versions import publish_versions, write_tiny_artifacts


def make_load(*broken: str) -> Callable[[Path], str]:
    """A load that rejects some versions and returns the version of all others."""

    def load(folder: Path) -> str:
        stored = read_version(folder)
        if stored is None or stored.version in broken:
            raise ArtifactRejected(f"{folder} is broken")
        return stored.version

    return load


def test_target_serves_if_it_loads_and_newer_versions_never_do(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    first, second, third = sorted(publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2, 3)))
    repository = ModelRepository(folder)
    order = [stored.version for stored in repository.list_versions()]
    assert sorted(order) == [first, second, third]
    repository.set_target_version(order[1])
    assert load_best_version(repository, make_load()) == order[1]
    assert load_best_version(repository, make_load(order[1])) == order[0]
    with pytest.raises(ArtifactRejected, match=order[1]):
        load_best_version(repository, make_load(order[0], order[1]))
    repository.set_target_version(order[2])
    assert load_best_version(repository, make_load(order[2], order[1])) == order[0]


def test_missing_target_is_replaced_by_the_newest_version(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    publish_versions(folder, *write_tiny_artifacts(tmp_path, 1, 2))
    repository = ModelRepository(folder)
    repository.set_target_version("missing")
    assert load_best_version(repository, make_load()) == repository.list_versions()[-1].version


def test_folder_without_versions_is_rejected_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRejected, match="holds no artifact"):
        load_best_version(ModelRepository(tmp_path), make_load())
