"""`nextup publish --shadow` activates a version only after it has answered real requests in the background."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.commands import shadow_trial
from app.commands.main import main
from app.commands.shadow_trial import MIN_QUERIES, check_results
from app.model_repository.repository import ModelRepository
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.constant_load import LONG_DEADLINE, run_constant_load
from service_tests.support.nextup_process import find_free_port, run_service
from service_tests.support.versions import add_versions, read_artifact_version

RESULTS: dict[str, Any] = {
    "queries": 100,
    "errors": 0,
    "overlap": 0.5,
    "serving_ms": 1.0,
    "candidate_ms": 2.0,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"errors": 2}, "it failed 2 of 100 requests; the log of the service has the reason"),
        ({"queries": MIN_QUERIES - 1}, f"it answered {MIN_QUERIES - 1} requests, {MIN_QUERIES} are needed; raise --sh"),
        ({"overlap": None}, "it answered 100 requests"),
        ({"overlap": 0.29}, r"29.0% of their items in common with the serving version; .* lower --min-overlap \(0.3\)"),
    ],
)
def test_version_that_fails_or_differs_too_much_is_not_activated(changes: dict[str, Any], message: str) -> None:
    check_results("v2", RESULTS, 0.3)
    with pytest.raises(ValueError, match=f"version v2 was not activated: .*{message}"):
        check_results("v2", RESULTS | changes, 0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-overlap", "0.3"], "--min-overlap needs --shadow TIME"),
        (["--shadow", "10m"], "--shadow needs a running service with requests"),
        (["--shadow", "10"], "--shadow must be a duration such as 90s, 10m or 2h (got '10')"),
        (["--shadow", "13h"], "--shadow must be between 1s and 43,200s (got 13h)"),
        (["--shadow", "nans"], "--shadow must be between 1s and 43,200s (got nans)"),
        (["--shadow", "10m", "--shadow-share", "0"], "--shadow-share must be above 0 and at most 1 (got 0)"),
    ],
)
def test_impossible_trials_are_refused_before_anything_is_copied(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NEXTUP_PORT", str(find_free_port()))
    artifact = write_tiny_artifact(tmp_path / "artifact", num_items=20)
    assert main(["publish", str(artifact), "--into", str(tmp_path / "models"), *options]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


@pytest.mark.process
def test_version_is_activated_after_a_trial_with_enough_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shadow_trial, "MIN_QUERIES", 1)
    repository = tmp_path / "models"
    first = read_artifact_version(write_tiny_artifact(repository, num_items=20))
    other = write_tiny_artifact(tmp_path / "other", num_items=20, seed=9)
    second = read_artifact_version(other)
    with run_service(tmp_path / "data", "--artifact", str(repository), **LONG_DEADLINE) as service:
        trial = ["publish", str(other), "--into", str(repository), "--url", service.url]
        trial += ["--shadow", "2s", "--shadow-share", "1", "--min-overlap"]
        with run_constant_load(
            service.url, [{"history": ["i1", "i2"], "k": 5}, {"history": ["i7"], "k": 5}], threads=1
        ) as tally:
            assert main([*trial, "1"]) == 1
            assert "of their items in common" in capsys.readouterr().err
            assert httpx.get(f"{service.url}/models").json()["target_version"] == first
            assert main([*trial, "0", "--inactive"]) == 0
            assert httpx.get(f"{service.url}/models").json()["active"] == first
            assert main([*trial, "0"]) == 0
        output = capsys.readouterr()
        assert json.loads(output.out.splitlines()[-1])["active"] == second
        protect_variant(service.url, repository, tmp_path)
        assert "requests with" in output.err
        assert "is not activated" in output.err
        assert httpx.get(f"{service.url}/models/{second}/shadow").status_code == 404, "the trial has ended"
    assert tally.failures == []
    assert set(tally.versions) <= {first, second}


def protect_variant(url: str, repository: Path, tmp_path: Path) -> None:
    """Versions of a running experiment are not removed by --keep, others are."""
    names = {}
    for seed in (3, 4, 5):
        artifact = write_tiny_artifact(tmp_path / f"seed-{seed}", num_items=20, seed=seed)
        manifest = artifact / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"created": f"2026-01-0{seed}"}))
        names[seed] = add_versions(repository, artifact)[0]
    variants = [{"name": "control", "share": 0.5}, {"name": "new", "share": 0.5, "version": names[3]}]
    assert httpx.put(f"{url}/experiments/home", json={"variants": variants}).status_code == 200
    arguments = ["publish", str(tmp_path / "seed-5"), "--into", str(repository), "--url", url, "--keep", "1"]
    assert main(arguments) == 0
    stored = {version.version for version in ModelRepository(repository).list_versions()}
    assert names[3] in stored
    assert names[4] not in stored
