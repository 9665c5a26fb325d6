"""Static checks of Dockerfile and compose files: names, ports, versions, users and times.

Nothing is built or started. The files are parsed as text, because the project needs no YAML library otherwise.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

import app
from app.commands.main import Invocation, parse
from app.commands.options.consume import ConsumeOptions
from app.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text().replace("\\\n", " ")
COMPOSE = (ROOT / "docker-compose.yml").read_text()
GPU = (ROOT / "docker-compose.gpu.yml").read_text()


def find_all(pattern: str, text: str) -> list[str]:
    """Find all matches of the pattern's only group; ^ and $ match at line ends."""
    return [str(match[1]) for match in re.finditer(pattern, text, re.MULTILINE)]


def split_services() -> dict[str, str]:
    """The text of each service of the compose file."""
    section = COMPOSE.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    parts = re.split(r"^  (\w+):\n", section, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def get_instruction(name: str) -> str:
    """The argument of the last instruction of this name in the final image."""
    final_stage = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[-1]
    arguments = find_all(rf"^{name} +(.*)$", final_stage)
    assert arguments, f"the final stage has no {name}"
    return arguments[-1]


SERVICES = split_services()


def test_compose_defines_the_services_of_the_contract() -> None:
    assert {"redis", "api", "prometheus", "grafana", "load", "consume", "nightly", "train"} == SERVICES.keys()


def test_optional_services_have_a_profile_of_the_same_name() -> None:
    profiles = {name: find_all(r'profiles: \["(\w+)"\]', text) for name, text in SERVICES.items()}
    assert {name: names for name, names in profiles.items() if names} == {
        name: [name] for name in ("load", "consume", "nightly", "train")
    }


def test_ports_are_published_on_loopback_only() -> None:
    published = {name: find_all(r'"([\d.:]*\d:\d+)"', text) for name, text in SERVICES.items()}
    assert published["api"] == ["127.0.0.1:8000:8000"]
    assert published["prometheus"] == ["127.0.0.1:9090:9090"]
    assert published["grafana"] == ["127.0.0.1:3000:3000"]
    assert [published[name] for name in ("redis", "load", "train", "nightly", "consume")] == [[]] * 5
    assert [port for ports in published.values() for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check(name: str) -> None:
    if name in {"load", "nightly", "train"}:  # they serve no requests, and the check of the image requests /readyz
        assert "healthcheck:\n      disable: true" in SERVICES[name]
    elif "build:" in SERVICES[name]:
        assert "/readyz" in get_instruction("HEALTHCHECK .* CMD")
    else:
        assert "healthcheck:" in SERVICES[name]


def test_every_image_is_pinned_to_a_minor_version() -> None:
    images = find_all(r"^    image: (\S+)", COMPOSE) + find_all(r"^ARG PYTHON=(\S+)", DOCKERFILE)
    assert len(images) >= 3
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


def test_image_runs_as_non_root_and_receives_signals() -> None:
    assert get_instruction("USER") not in {"root", "0"}
    assert json.loads(get_instruction("ENTRYPOINT")) == ["nextup"]
    assert json.loads(get_instruction("CMD")) == ["serve", "--demo"]


def test_settings_named_by_containers_exist() -> None:
    build_arguments = set(find_all(r"^ARG (\w+)", DOCKERFILE))
    names = set(re.findall(r"\bNEXTUP_\w+", DOCKERFILE + COMPOSE + GPU)) - build_arguments
    assert {name for name in names if name.removeprefix("NEXTUP_").lower() not in Settings.model_fields} == set()


def test_settings_of_the_image_are_valid() -> None:
    pairs = re.findall(r"NEXTUP_(\w+)=(\S+)", get_instruction("ENV"))
    settings = Settings.model_validate({name.lower(): value for name, value in pairs})
    assert (settings.host, settings.port, settings.artifact) == ("0.0.0.0", 8000, Path("/data/demo"))


def test_stop_grace_period_exceeds_the_drain_time() -> None:
    [seconds] = find_all(r"^    stop_grace_period: (\d+)s\b", SERVICES["api"])
    assert float(seconds) > Settings.model_fields["drain_s"].default


def test_prometheus_scrapes_the_service() -> None:
    assert 'targets: ["api:8000"]' in (ROOT / "docker/prometheus.yml").read_text()


def test_mounted_files_exist_and_are_read_only() -> None:
    mounts = find_all(r"^      - (\./\S+)$", COMPOSE)
    assert len(mounts) == 4
    for source, _, mode in (mount.split(":") for mount in mounts):
        assert (ROOT / source).exists(), source
        assert mode == "ro"


def test_prometheus_reads_the_mounted_rules() -> None:
    [rules] = find_all(r"^rule_files:\n  - (\S+)$", (ROOT / "docker/prometheus.yml").read_text())
    assert f"./docker/{rules}:/etc/prometheus/{rules}:ro" in SERVICES["prometheus"]


def test_grafana_is_read_only_without_accounts() -> None:
    variables = dict(re.findall(r"^      (GF_\w+): \"?([^\"\n]+)\"?$", SERVICES["grafana"], re.MULTILINE))
    assert variables["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert variables["GF_AUTH_BASIC_ENABLED"] == "false"
    assert variables["GF_AUTH_DISABLE_LOGIN_FORM"] == variables["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    folder = ROOT / "docker/grafana"
    [path] = find_all(r"^ +path: (\S+)$", (folder / "provisioning/dashboards/nextup.yml").read_text())
    assert f"./docker/grafana/dashboards:{path}:ro" in SERVICES["grafana"]
    home = variables["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (folder / "dashboards" / home.removeprefix(f"{path}/")).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_container_can_write_only_to_its_volumes(name: str) -> None:
    text = SERVICES[name]
    assert "read_only: true" in text
    assert 'cap_drop: ["ALL"]' in text
    assert "no-new-privileges:true" in text


@pytest.mark.parametrize("name", SERVICES)
def test_container_has_a_memory_limit_and_a_restart_policy(name: str) -> None:
    assert "mem_limit:" in SERVICES[name]
    assert find_all(r"^    restart: (.*)$", SERVICES[name]) == ['"no"' if name == "train" else "unless-stopped"]


def test_health_check_of_the_consumer_requests_the_port_of_its_metrics() -> None:
    [words] = find_all(r"^    command: (\[.*\])$", SERVICES["consume"])
    invocation = parse(json.loads(words))
    assert isinstance(invocation, Invocation)
    assert isinstance(invocation.options, ConsumeOptions)
    assert [str(invocation.options.metrics_port)] == find_all(r'^      NEXTUP_PORT: "(\d+)"', SERVICES["consume"])
    assert invocation.options.metrics_host == "0.0.0.0"
    assert 'targets: ["consume:8001"]' in (ROOT / "docker/prometheus.yml").read_text()


@pytest.mark.parametrize("name", ["load", "consume", "train"])
def test_commands_of_the_profiles_parse(name: str) -> None:
    [words] = find_all(r"^    command: (\[.*\])$", SERVICES[name])
    assert isinstance(parse(json.loads(words)), Invocation)


def test_gpu_file_overrides_existing_services() -> None:
    overridden = find_all(r"^  (\w+):$", GPU)
    assert set(overridden) == {"api", "train"}
    assert "driver: nvidia" in GPU
    assert "NEXTUP_TORCH: ${NEXTUP_TORCH:-torch}" in GPU


def test_image_labels_describe_the_release() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', get_instruction("LABEL")))
    assert labels["version"] == app.__version__
    assert labels["licenses"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert labels["revision"] == "${REVISION}"
    assert labels["title"] == "nextup"


def test_native_code_is_built_in_the_image_and_the_compiler_is_left_out() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    [builder] = [stage for stage in stages if "models.native.build" in stage]
    install_at, build_at = builder.index("--prefix /code ."), builder.index("PYTHONPATH=$(echo /code/")
    assert builder.index("g++") < install_at < builder.index("cd /", install_at) < build_at
    assert "g++" not in stages[-1]
    assert "**/built" in (ROOT / ".dockerignore").read_text().splitlines(), (
        "libraries built on this machine are not copied"
    )


def test_build_context_contains_exactly_the_copied_files() -> None:
    copied = [word for line in find_all(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE) for word in line.split()]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []
