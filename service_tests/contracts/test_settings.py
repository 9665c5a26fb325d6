"""Settings: each one documented where users read, unsafe ones refused by name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings

README = Path(__file__).parents[2] / "README.md"


def documented(name: str) -> str:
    field = Settings.model_fields[name]
    default = "unset" if field.default is None else field.default
    return f"| `NEXTUP_{name.upper()}` | {default} | {field.description} |"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_stands_in_the_readme_with_its_default(name: str) -> None:
    assert documented(name) in README.read_text().splitlines()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTUP_MAX_K", "7")
    assert Settings().max_k == 7


@pytest.mark.parametrize(
    ("name", "value"), [("MAX_K", "0"), ("PORT", "70000"), ("DURABILITY", "never"), ("DEVICE", "x")]
)
def test_an_impossible_value_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"NEXTUP_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize("value", ["collector:4318", "grpc://collector:4317", "http://", "http://collector/?a=1"])
def test_a_collector_that_cannot_be_reached_by_http_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValidationError, match=r"otlp_endpoint\n.*is not like http://collector:4318"):
        Settings(otlp_endpoint=value)


def test_an_empty_endpoint_is_none() -> None:
    assert Settings(otlp_endpoint="").otlp_endpoint is None, "as compose gives a variable that is not set"


def test_traces_without_the_extra_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.settings.find_spec", lambda name: None if name == "opentelemetry.exporter" else object())
    with pytest.raises(ValidationError, match="nextup\\[otel\\]"):
        Settings(otlp_endpoint="http://collector:4318")


def test_listening_to_the_network_without_keys_must_be_meant() -> None:
    with pytest.raises(ValidationError, match="NEXTUP_ALLOW_ANONYMOUS"):
        Settings(host="0.0.0.0")
    assert Settings(host="0.0.0.0", allow_anonymous=True).host == "0.0.0.0"
    assert Settings(host="::1").host == "::1"
