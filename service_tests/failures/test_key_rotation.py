"""Keys in a file are added and revoked in all workers without a restart, and a wrong file changes nothing."""

from pathlib import Path

import httpx
import pytest

from app.api_keys import generate_key
from app.environment import SettingsError, load_settings
from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.waiting import wait_until

pytestmark = [pytest.mark.process]
WAIT_S = 60.0
OLD, OLD_ENTRY = generate_key("shop-old", ["read"])
NEW, NEW_ENTRY = generate_key("shop-new", ["read"])
OPERATOR, OPERATOR_ENTRY = generate_key("operator", ["admin"])


def replace_file(path: Path, text: str) -> None:
    """Replace a file in one step, as an operator and Kubernetes do."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def read_statuses(url: str, token: str) -> set[int]:
    """Statuses of several new connections, which are spread over the workers."""
    headers = {"authorization": f"Bearer {token}"}
    return {httpx.get(f"{url}/models", headers=headers, timeout=30).status_code for _ in range(6)}


def wait_for_status(service: RunningService, token: str, status: int) -> None:
    wait_until(lambda: read_statuses(service.url, token) == {status}, WAIT_S, lambda: f"no status {status}")


def wait_for_rejection(service: RunningService, value: float) -> None:
    name = "nextup_api_keys_file_rejected"
    wait_until(lambda: max(read_samples(service.url, name).values()) == value, WAIT_S, lambda: f"{name} is not {value}")


def test_keys_are_rotated_without_a_restart(tiny_artifact: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    replace_file(file, f"# the shop\n{OLD_ENTRY}\n")
    variables = {"NEXTUP_API_KEYS_FILE": str(file), "NEXTUP_API_KEYS": OPERATOR_ENTRY}
    with run_service(tmp_path, "--workers", "2", "--artifact", str(tiny_artifact), **variables) as service:
        assert [read_statuses(service.url, token) for token in (OLD, OPERATOR, NEW)] == [{200}, {200}, {401}]
        replace_file(file, f"{OLD_ENTRY}\n{NEW_ENTRY}\n")
        wait_for_status(service, NEW, 200)
        assert read_statuses(service.url, OLD) == {200}
        replace_file(file, f"{NEW_ENTRY}\n")
        wait_for_status(service, OLD, 401)
        for wrong in ("", "shop:read", f"{NEW_ENTRY},{NEW_ENTRY}", OPERATOR_ENTRY):
            replace_file(file, wrong)
            wait_for_rejection(service, 1)
            assert [read_statuses(service.url, token) for token in (NEW, OPERATOR, OLD)] == [{200}, {200}, {401}]
            replace_file(file, f"{NEW_ENTRY}\n# {wrong}\n")
            wait_for_rejection(service, 0)
        file.unlink()
        wait_for_rejection(service, 1)
        assert read_statuses(service.url, NEW) == {200}
    output = "\n".join(service.output)
    assert "the API keys stay as they are" in output
    assert "entry 1 is not name:scopes:sha256" in output
    assert not any(entry.rpartition(":")[2] in output for entry in (OLD_ENTRY, NEW_ENTRY, OPERATOR_ENTRY))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "keys cannot be read: No such file or directory"),
        ("", "keys is not a list of keys: it has no entry"),
        ("shop:read:abc", "entry 1 is not name:scopes:sha256"),
        ("x" * 1_000_001, "must not be larger than 1,000,000 bytes"),
    ],
)
def test_start_with_a_wrong_file_is_refused(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "keys").write_text(text)
    monkeypatch.setenv("NEXTUP_API_KEYS_FILE", str(tmp_path / "keys"))
    with pytest.raises(SettingsError, match=f"NEXTUP_API_KEYS_FILE .*{message}"):
        load_settings()


def test_keys_of_a_file_allow_a_public_address(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(OLD_ENTRY)
    assert load_settings(host="0.0.0.0", api_keys_file=tmp_path / "keys").has_api_keys
    with pytest.raises(SettingsError):
        load_settings(host="0.0.0.0")
