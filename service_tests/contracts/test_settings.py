"""Every setting is documented, and the error for an unsafe or invalid value names the setting."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings

REFERENCE = Path(__file__).parents[2] / "docs/reference/configuration.md"


def format_row(name: str) -> str:
    field = Settings.model_fields[name]
    default = "unset" if field.default is None else field.default
    return f"| `NEXTUP_{name.upper()}` | {default} | {field.description} |".replace("|  |", "| |")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_documented_with_its_default(name: str) -> None:
    assert format_row(name) in REFERENCE.read_text().splitlines()


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTUP_MAX_K", "7")
    assert Settings().max_k == 7


@pytest.mark.parametrize(
    ("name", "value"), [("MAX_K", "0"), ("PORT", "70000"), ("DURABILITY", "never"), ("DEVICE", "x")]
)
def test_error_names_the_setting_with_an_invalid_value(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"NEXTUP_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize("value", ["collector:4318", "grpc://collector:4317", "http://", "http://collector/?a=1"])
def test_error_names_an_endpoint_that_is_not_an_http_url(value: str) -> None:
    with pytest.raises(ValidationError, match=r"otlp_endpoint\n.*must be a URL such as http://collector:4318"):
        Settings(otlp_endpoint=value)


def test_empty_endpoint_is_none() -> None:
    assert Settings(otlp_endpoint="").otlp_endpoint is None, "compose passes an unset variable as an empty string"


def test_tracing_without_the_extra_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.settings.find_spec", lambda name: None if name == "opentelemetry.exporter" else object())
    with pytest.raises(ValidationError, match="nextup\\[otel\\]"):
        Settings(otlp_endpoint="http://collector:4318")


def test_listening_on_all_interfaces_without_keys_requires_opt_in() -> None:
    with pytest.raises(ValidationError, match="NEXTUP_ALLOW_ANONYMOUS"):
        Settings(host="0.0.0.0")
    assert Settings(host="0.0.0.0", allow_anonymous=True).host == "0.0.0.0"
    assert Settings(host="::1").host == "::1"
