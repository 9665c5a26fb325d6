"""`nextup publish` without a service: whole copies, versions that never change, a wish for the next start."""

import json
from pathlib import Path

import pytest

from app.commands.main import main
from app.model_repository.publish import remove_old_versions
from app.model_repository.repository import ModelRepository
from service_tests.support.nextup_process import find_free_port
from service_tests.support.versions import add_versions, corrupt_byte, read_artifact_version, write_tiny_artifacts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEXTUP_PORT", str(find_free_port()))
    monkeypatch.setenv("NEXTUP_ARTIFACT", str(tmp_path / "models"))
    return tmp_path / "models"


def test_the_next_service_that_starts_will_serve_what_was_published(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for artifact in write_tiny_artifacts(tmp_path, 1, 2):
        assert main(["publish", str(artifact)]) == 0
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (said["version"], said["wanted"], said["active"]) == (
            read_artifact_version(artifact),
            read_artifact_version(artifact),
            None,
        )
        served = ModelRepository(folder).find_target_folder()
        assert read_artifact_version(served) == read_artifact_version(artifact)
        assert {file.name: file.read_bytes() for file in served.iterdir()} == {
            file.name: file.read_bytes() for file in artifact.iterdir()
        }


def test_publishing_again_is_the_way_back(folder: Path, tmp_path: Path) -> None:
    first, second = write_tiny_artifacts(tmp_path, 1, 2)
    for artifact in (first, second, first):
        assert main(["publish", str(artifact)]) == 0
    assert ModelRepository(folder).get_target_version() == read_artifact_version(first)
    assert len(ModelRepository(folder).versions()) == 2


@pytest.mark.parametrize("name", ["model.safetensors", "golden.json"])
def test_a_changed_byte_or_a_missing_file_leaves_nothing_behind(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = write_tiny_artifacts(tmp_path, 1, 2)
    assert main(["publish", str(good)]) == 0
    corrupt_byte(bad, name)
    assert main(["publish", str(bad)]) == 1
    assert f"{name} of version {read_artifact_version(bad)} is not the file that was written" in capsys.readouterr().err
    (bad / name).unlink()
    assert main(["publish", str(bad)]) == 1
    assert f"{name} is missing" in capsys.readouterr().err
    assert sorted(file.name for file in folder.iterdir()) == sorted(["current", read_artifact_version(good)])
    assert ModelRepository(folder).get_target_version() == read_artifact_version(good)


def test_a_published_version_is_never_changed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    assert main(["publish", str(artifact)]) == 0
    manifest = artifact / "manifest.json"
    told = json.loads(manifest.read_text())
    told["files"]["golden.json"]["bytes"] += 1
    manifest.write_text(json.dumps(told))
    assert main(["publish", str(artifact)]) == 1
    assert "with other files" in capsys.readouterr().err


def test_what_is_no_artifact_is_told_by_name(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", str(tmp_path / "nothing")]) == 1
    assert "nothing holds no artifact" in capsys.readouterr().err
    assert not folder.exists()


def test_a_service_that_was_named_must_be_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_tiny_artifacts(tmp_path, 1, 2)
    assert main(["publish", str(first)]) == 0
    assert main(["publish", str(second), "--url", f"http://127.0.0.1:{find_free_port()}"]) == 1
    assert "no service answers" in capsys.readouterr().err
    assert ModelRepository(folder).get_target_version() == read_artifact_version(first), (
        "not wanted by a service that did not check it"
    )


def test_the_oldest_published_versions_go_and_the_needed_ones_stay(tmp_path: Path) -> None:
    own, *others = write_tiny_artifacts(tmp_path, 0, 1, 2, 3, 4)
    for day, artifact in enumerate(others, start=1):
        told = json.loads((artifact / "manifest.json").read_text())
        (artifact / "manifest.json").write_text(json.dumps(told | {"created": f"2026-01-0{day}"}))
    oldest, second, third, newest = add_versions(own, *others)
    assert remove_old_versions(own, 1, {oldest, newest}) == [second, third]
    left = {stored.version for stored in ModelRepository(own).versions()}
    assert left == {read_artifact_version(own), oldest, newest}
    assert [file.name for file in own.iterdir() if file.name.startswith(".")] == []
