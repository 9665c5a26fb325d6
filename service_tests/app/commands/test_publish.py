"""`nextup publish` without a running service: atomic copies, immutable versions, the target of the next start."""

import json
import os
from collections.abc import Callable
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


def test_published_version_is_the_target_of_the_next_start(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for artifact in write_tiny_artifacts(tmp_path, 1, 2):
        assert main(["publish", str(artifact)]) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        version = read_artifact_version(artifact)
        assert (result["version"], result["target_version"], result["active"]) == (version, version, None)
        target = ModelRepository(folder).find_target_folder()
        assert read_artifact_version(target) == version
        files = {file.name: file.read_bytes() for file in target.iterdir()}
        assert int(files.pop(".published")) > 0, "the time that orders versions"
        assert files == {file.name: file.read_bytes() for file in artifact.iterdir()}


def test_publish_and_rollback_say_that_no_service_answers_and_what_they_changed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_tiny_artifacts(tmp_path, 1, 2)
    absent = f"no service answers at http://127.0.0.1:{os.environ['NEXTUP_PORT']}; name another address with --url\n"
    assert [main(["publish", str(artifact)]) for artifact in (first, second)] == [0, 0]
    assert capsys.readouterr().err.count(absent) == 2
    assert main(["rollback"]) == 0
    version = read_artifact_version(first)
    assert capsys.readouterr().err == absent + f"the next service that serves {folder} starts with version {version}\n"
    assert ModelRepository(folder).get_target_version() == version


def test_inactive_version_is_stored_and_leaves_the_target(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_tiny_artifacts(tmp_path, 1, 2)
    assert main(["publish", str(first)]) == 0
    assert main(["publish", str(second), "--inactive", "--keep", "1"]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out.splitlines()[-1])
    assert (result["version"], result["target_version"]) == tuple(map(read_artifact_version, (second, first)))
    assert result["removed"] == []
    assert f"version {read_artifact_version(second)} is not activated" in output.err
    assert ModelRepository(folder).get_target_version() == read_artifact_version(first)
    assert len(ModelRepository(folder).list_versions()) == 2


def test_publishing_an_earlier_version_again_rolls_back(folder: Path, tmp_path: Path) -> None:
    first, second = write_tiny_artifacts(tmp_path, 1, 2)
    for artifact in (first, second, first):
        assert main(["publish", str(artifact)]) == 0
    assert ModelRepository(folder).get_target_version() == read_artifact_version(first)
    assert len(ModelRepository(folder).list_versions()) == 2


def test_publishing_the_target_again_keeps_the_version_of_a_rollback(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts = write_tiny_artifacts(tmp_path, 1, 2)
    first, second = map(read_artifact_version, artifacts)
    previous = []
    for artifact in (artifacts[0], artifacts[1], artifacts[1]):
        assert main(["publish", str(artifact), "--keep", "1"]) == 0
        previous.append(json.loads(capsys.readouterr().out.splitlines()[-1])["previous"])
    assert previous == [None, first, first]
    assert main(["rollback"]) == 0
    assert ModelRepository(folder).find_target_folder() == folder / first
    assert main(["publish", str(artifacts[0])]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["previous"] == second


@pytest.mark.parametrize("name", ["model.safetensors", "golden.json"])
def test_corrupt_or_missing_file_leaves_the_repository_unchanged(
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


def test_published_version_is_immutable(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    assert main(["publish", str(artifact)]) == 0
    manifest = artifact / "manifest.json"
    contents = json.loads(manifest.read_text())
    contents["files"]["golden.json"]["bytes"] += 1
    manifest.write_text(json.dumps(contents))
    assert main(["publish", str(artifact)]) == 1
    assert "with other files" in capsys.readouterr().err


def truncate(artifact: Path, name: str) -> None:
    (artifact / name).write_bytes((artifact / name).read_bytes()[:-1])


def remove(artifact: Path, name: str) -> None:
    (artifact / name).unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (corrupt_byte, "is not the file that was written (sha256 differs)"),
        (truncate, "is not the file that was written ("),
        (remove, "golden.json is missing"),
    ],
)
def test_damaged_copy_of_a_published_version_is_reported_and_changes_nothing(
    damage: Callable[[Path, str], None],
    reason: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = write_tiny_artifacts(tmp_path, 1, 2)
    version = read_artifact_version(first)
    assert [main(["publish", str(artifact)]) for artifact in (first, second)] == [0, 0]
    damage(first, "golden.json")
    capsys.readouterr()
    assert main(["publish", str(first)]) == 1
    error = capsys.readouterr().err
    assert f"version {version} is already published and intact in {folder / version}" in error
    assert f"but {first} is damaged: golden.json" in error
    assert reason in error
    assert ModelRepository(folder).get_target_version() == read_artifact_version(second)
    assert main(["publish", str(folder / version)]) == 0, "as the error advises"
    assert ModelRepository(folder).get_target_version() == version


def test_damaged_published_copy_is_named_and_not_the_intact_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    version = read_artifact_version(artifact)
    assert main(["publish", str(artifact)]) == 0
    corrupt_byte(folder / version, "golden.json")
    for copy in (artifact, folder / version):
        assert main(["publish", str(copy)]) == 1
        error = capsys.readouterr().err
        assert f"version {version} is already published, but {folder / version} is damaged: golden.json" in error
        assert f"{artifact} is damaged" not in error


def set_manifest_entries(artifact: Path, **entries: object) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    (artifact / "manifest.json").write_text(json.dumps(manifest | entries))


FAILED_VERDICT = {"passed": False, "message": "sasrec is worse than the baseline markov: NDCG@10 0.0100 against 0.0200"}


def test_model_that_is_worse_than_its_baselines_needs_force(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    set_manifest_entries(artifact, verdict=FAILED_VERDICT)
    assert main(["publish", str(artifact)]) == 1
    error = capsys.readouterr().err
    assert "was not published: sasrec is worse than the baseline markov: NDCG@10 0.0100 against 0.0200" in error
    assert "pass --force" in error
    assert not folder.exists()
    assert main(["publish", str(artifact), "--force"]) == 0
    assert main(["publish", str(artifact)]) == 0, "a rollback to a published version needs no decision"


@pytest.mark.parametrize(
    ("preset", "verdict", "note"),
    [
        ("popular", FAILED_VERDICT, ""),
        ("sasrec", {"passed": True, "message": None}, ""),
        (
            "sasrec",
            {"passed": True, "message": "sasrec is behind the baseline markov by less"},
            "warning: sasrec is behind",
        ),
        ("sasrec", None, "was not compared with baselines"),
    ],
)
def test_other_models_are_published(
    preset: str, verdict: object, note: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    set_manifest_entries(artifact, preset=preset, **({} if verdict is None else {"verdict": verdict}))
    assert main(["publish", str(artifact)]) == 0
    error = capsys.readouterr().err
    assert note in error
    assert ("baseline" in error) == bool(note)


def test_folder_without_an_artifact_is_rejected(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(tmp_path / "nothing")]) == 1
    assert "nothing holds no artifact" in capsys.readouterr().err
    assert not folder.exists()


def test_unreachable_url_fails_and_keeps_the_target(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_tiny_artifacts(tmp_path, 1, 2)
    assert main(["publish", str(first)]) == 0
    assert main(["publish", str(second), "--url", f"http://127.0.0.1:{find_free_port()}"]) == 1
    assert "nothing was copied" in capsys.readouterr().err
    assert ModelRepository(folder).get_target_version() == read_artifact_version(first)
    assert ModelRepository(folder).find(read_artifact_version(second)) is None


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://me:s3cret@host:port", "http://"])
def test_url_that_is_not_one_names_the_option_and_no_secret(
    url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (artifact,) = write_tiny_artifacts(tmp_path, 1)
    assert main(["publish", str(artifact), "--url", url]) == 1
    assert capsys.readouterr().err == "nextup: error: --url must be a base URL such as http://127.0.0.1:8000\n"
    assert not folder.exists()


def test_oldest_published_versions_are_removed_unless_in_use(tmp_path: Path) -> None:
    repository, *artifacts = write_tiny_artifacts(tmp_path, 0, 1, 2, 3, 4)
    for day, artifact in enumerate(artifacts, start=1):
        manifest = json.loads((artifact / "manifest.json").read_text())
        (artifact / "manifest.json").write_text(json.dumps(manifest | {"created": f"2026-01-0{day}"}))
    oldest, second, third, newest = add_versions(repository, *artifacts)
    assert remove_old_versions(repository, 1, {oldest, newest}) == [second, third]
    remaining = {stored.version for stored in ModelRepository(repository).list_versions()}
    assert remaining == {read_artifact_version(repository), oldest, newest}
    assert [file.name for file in repository.iterdir() if file.name.startswith(".")] == []
