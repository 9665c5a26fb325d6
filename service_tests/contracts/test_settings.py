"""Every setting is documented; errors name the variable and the fix, and no error or text shows a secret."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app.environment import STORE_SETTINGS, SettingsError, find_unknown_variables, load_settings
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
        Settings(otlp_endpoint=SecretStr(value))


def test_empty_endpoint_is_unset() -> None:
    assert Settings(otlp_endpoint=SecretStr("")).otlp_endpoint is None, (
        "compose passes an unset variable as an empty string"
    )


def test_tracing_without_the_extra_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.settings.find_spec", lambda name: None if name == "opentelemetry.exporter" else object())
    with pytest.raises(ValidationError, match="nextup\\[otel\\]"):
        Settings(otlp_endpoint=SecretStr("http://collector:4318"))


def test_listening_on_all_interfaces_without_keys_requires_opt_in() -> None:
    with pytest.raises(ValidationError, match="NEXTUP_ALLOW_ANONYMOUS"):
        Settings(host="0.0.0.0")
    assert Settings(host="0.0.0.0", allow_anonymous=True).host == "0.0.0.0"
    for host in ("::1", "127.0.0.1", "127.0.0.2", "localhost"):
        assert Settings(host=host).host == host


SECRET = "s3cret-Zx"
MALFORMED = {
    "NEXTUP_REDIS_URL": [
        f"redis://:{SECRET}/1@host",
        f"redis://host:{SECRET}",
        f"{SECRET}@host",
        f"redis://{SECRET}@h",
    ],
    "NEXTUP_API_KEYS": [SECRET, f"shop:read:{SECRET}", f"{SECRET}:read:{'a' * 63}", f"shop:{SECRET}:{'a' * 64}"],
    "NEXTUP_OTLP_ENDPOINT": [f"http://me:{SECRET}@", f"http://me:{SECRET}@host:port", f"grpc://me:{SECRET}@host"],
}


@pytest.mark.parametrize(
    ("variable", "value"), [(name, value) for name, values in MALFORMED.items() for value in values]
)
def test_malformed_secret_is_reported_in_one_line_without_its_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable} ") as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ValidationError) as raw:
        Settings()
    assert SECRET not in str(raw.value), "a traceback shows this text"


def test_settings_as_text_hide_every_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "NEXTUP_REDIS_URL": f"redis://:{SECRET}@host",
        "NEXTUP_METRICS_KEY": SECRET,
        "NEXTUP_API_KEYS": f"{SECRET}:read:{'a' * 64}",
        "NEXTUP_OTLP_ENDPOINT": f"http://me:{SECRET}@collector:4318",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert settings.to_environment().items() >= values.items(), "workers need the values"


def test_every_wrong_setting_is_named_with_its_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTUP_MAX_K", "0")
    monkeypatch.setenv("NEXTUP_DEVICE", "tpu")
    with pytest.raises(SettingsError) as caught:
        load_settings(port=70_000)
    problems = str(caught.value).split("; ")
    assert problems[0] == "--port should be less than or equal to 65535"
    assert problems[1] == "NEXTUP_DEVICE should be 'auto', 'cpu' or 'cuda'"
    assert problems[2] == "NEXTUP_MAX_K should be greater than or equal to 1"


def test_settings_that_a_command_does_not_use_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTUP_API_KEYS", SECRET)
    monkeypatch.setenv("NEXTUP_MAX_K", "0")
    monkeypatch.setenv("NEXTUP_HOST", "0.0.0.0")
    monkeypatch.setenv("NEXTUP_HISTORY_MAX_EVENTS", "7")
    settings = load_settings(STORE_SETTINGS)
    assert (settings.history_max_events, settings.max_k) == (7, 100)
    monkeypatch.setenv("NEXTUP_REDIS_POOL", "0")
    with pytest.raises(SettingsError, match=r"^NEXTUP_REDIS_POOL should be greater than or equal to 1$"):
        load_settings(STORE_SETTINGS)


def test_port_that_kubernetes_sets_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTUP_PORT", "tcp://10.0.0.1:8000")
    with pytest.raises(SettingsError, match=r"^NEXTUP_PORT must be a number; Kubernetes sets .* enableServiceLinks"):
        load_settings()


def test_home_folder_is_expanded_in_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTUP_DATA_DIR", "~/var")
    assert load_settings().data_dir == Path.home() / "var"
    assert load_settings(artifact="~/shop").artifact == Path.home() / "shop"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_empty_variable_is_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"NEXTUP_{name.upper()}", "")
    assert getattr(load_settings(), name) == getattr(Settings(), name) == Settings.model_fields[name].default


def test_unknown_variable_is_named_with_the_nearest_setting_and_without_its_value() -> None:
    environment = {"NEXTUP_REDIS_URI": SECRET, "nextup_max_kk": "1", "NEXTUP_XYZ": "1", "PATH": "/bin"}
    lines = find_unknown_variables(environment)
    assert len(lines) == 3
    assert lines[0] == "NEXTUP_REDIS_URI is not a setting and has no effect; did you mean NEXTUP_REDIS_URL?"
    assert "docs/reference/configuration.md" in lines[1]
    assert lines[2].endswith("did you mean NEXTUP_MAX_K?")
    assert SECRET not in "".join(lines)


def test_variables_of_the_installation_ray_and_kubernetes_are_known() -> None:
    names = [f"NEXTUP_{name.upper()}" for name in Settings.model_fields]
    names += ["NEXTUP_TORCH", "NEXTUP_RAY_NUM_CPUS", "NEXTUP_REDIS_SERVICE_HOST", "NEXTUP_PORT_8000_TCP_ADDR"]
    environment = dict.fromkeys(names, "x") | {"NEXTUP_REDIS_PORT": "tcp://10.0.0.1:6379"}
    assert find_unknown_variables(environment) == []
    assert find_unknown_variables({"NEXTUP_REDIS_PORT": "6379"}) != []
