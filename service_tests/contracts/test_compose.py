"""What can be told of the containers by reading their files: names, ports, versions, users, times.

It builds and starts nothing, and knows no YAML: the files are read as text, because the project needs no YAML library
for anything else.
"""

import argparse
import json
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import app
from app.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text().replace("\\\n", " ")
COMPOSE = (ROOT / "docker-compose.yml").read_text()
GPU = (ROOT / "docker-compose.gpu.yml").read_text()


def found(pattern: str, text: str) -> list[str]:
    """What the one group of the pattern matches; ^ and $ are the ends of lines."""
    return [str(match[1]) for match in re.finditer(pattern, text, re.MULTILINE)]


def services() -> dict[str, str]:
    """The lines of each service of the compose file, by its name."""
    section = COMPOSE.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    parts = re.split(r"^  (\w+):\n", section, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def instruction(name: str) -> str:
    """The argument of the last instruction of this name in the image that is shipped."""
    final_stage = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[-1]
    arguments = found(rf"^{name} +(.*)$", final_stage)
    assert arguments, f"the final stage has no {name}"
    return arguments[-1]


SERVICES = services()


def test_the_services_of_the_contract_are_there() -> None:
    assert {"redis", "api", "prometheus", "grafana", "load", "nightly", "train"} == SERVICES.keys()


def test_what_a_plain_up_does_not_start_has_a_profile_of_its_name() -> None:
    profiles = {name: found(r'profiles: \["(\w+)"\]', text) for name, text in SERVICES.items()}
    assert {name: given for name, given in profiles.items() if given} == {
        name: [name] for name in ("load", "nightly", "train")
    }


def test_ports_are_published_on_loopback_and_nowhere_else() -> None:
    published = {name: found(r'"([\d.:]*\d:\d+)"', text) for name, text in SERVICES.items()}
    assert published["api"] == ["127.0.0.1:8000:8000"]
    assert published["prometheus"] == ["127.0.0.1:9090:9090"]
    assert published["grafana"] == ["127.0.0.1:3000:3000"]
    assert published["redis"] == published["load"] == published["train"] == published["nightly"] == []
    assert [port for ports in published.values() for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_can_be_asked_for_its_health(name: str) -> None:
    if name in {"load", "nightly", "train"}:  # they serve nothing, and the image would ask for /readyz
        assert "healthcheck:\n      disable: true" in SERVICES[name]
    elif "build:" in SERVICES[name]:
        assert "/readyz" in instruction("HEALTHCHECK .* CMD")
    else:
        assert "healthcheck:" in SERVICES[name]


def test_every_image_is_pinned_to_a_minor_version() -> None:
    images = found(r"^    image: (\S+)", COMPOSE) + found(r"^ARG PYTHON=(\S+)", DOCKERFILE)
    assert len(images) >= 3
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


def test_the_service_is_not_root_and_gets_signals_itself() -> None:
    assert instruction("USER") not in {"root", "0"}
    assert json.loads(instruction("ENTRYPOINT")) == ["nextup"]
    assert json.loads(instruction("CMD")) == ["serve", "--demo"]


def test_every_setting_that_a_container_names_exists() -> None:
    build_arguments = set(found(r"^ARG (\w+)", DOCKERFILE))
    named = set(re.findall(r"\bNEXTUP_\w+", DOCKERFILE + COMPOSE + GPU)) - build_arguments
    assert {name for name in named if name.removeprefix("NEXTUP_").lower() not in Settings.model_fields} == set()


def test_the_settings_of_the_image_are_accepted() -> None:
    pairs = re.findall(r"NEXTUP_(\w+)=(\S+)", instruction("ENV"))
    settings = Settings.model_validate({name.lower(): value for name, value in pairs})
    assert (settings.host, settings.port, settings.artifact) == ("0.0.0.0", 8000, Path("/data/demo"))


def test_a_container_may_take_longer_to_stop_than_the_service_to_drain() -> None:
    [seconds] = found(r"^    stop_grace_period: (\d+)s\b", SERVICES["api"])
    assert float(seconds) > Settings.model_fields["drain_s"].default


def test_prometheus_asks_the_service() -> None:
    assert 'targets: ["api:8000"]' in (ROOT / "docker/prometheus.yml").read_text()


def test_every_file_that_is_mounted_is_there_and_read_only() -> None:
    mounted = found(r"^      - (\./\S+)$", COMPOSE)
    assert len(mounted) == 4
    for source, _, mode in (mount.split(":") for mount in mounted):
        assert (ROOT / source).exists(), source
        assert mode == "ro"


def test_prometheus_reads_the_rules_that_are_mounted() -> None:
    [rules] = found(r"^rule_files:\n  - (\S+)$", (ROOT / "docker/prometheus.yml").read_text())
    assert f"./docker/{rules}:/etc/prometheus/{rules}:ro" in SERVICES["prometheus"]


def test_grafana_shows_everything_and_lets_nobody_in() -> None:
    given = dict(re.findall(r"^      (GF_\w+): \"?([^\"\n]+)\"?$", SERVICES["grafana"], re.MULTILINE))
    assert given["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert given["GF_AUTH_BASIC_ENABLED"] == "false"
    assert given["GF_AUTH_DISABLE_LOGIN_FORM"] == given["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    folder = ROOT / "docker/grafana"
    [path] = found(r"^ +path: (\S+)$", (folder / "provisioning/dashboards/nextup.yml").read_text())
    assert f"./docker/grafana/dashboards:{path}:ro" in SERVICES["grafana"]
    home = given["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (folder / "dashboards" / home.removeprefix(f"{path}/")).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_write_its_volumes_and_nothing_else(name: str) -> None:
    text = SERVICES[name]
    assert "read_only: true" in text
    assert 'cap_drop: ["ALL"]' in text
    assert "no-new-privileges:true" in text


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_a_bound_of_memory_and_a_rule_for_its_end(name: str) -> None:
    assert "mem_limit:" in SERVICES[name]
    assert found(r"^    restart: (.*)$", SERVICES[name]) == ['"no"' if name == "train" else "unless-stopped"]


@pytest.mark.parametrize("name", ["load", "train"])
def test_the_commands_of_the_profiles_exist_with_their_options(name: str) -> None:
    [words] = found(r"^    command: (\[.*\])$", SERVICES[name])
    command, *rest = json.loads(words)
    parser = argparse.ArgumentParser()
    import_module(f"app.commands.{command}").configure(parser)
    parser.parse_args(rest)


def test_the_gpu_file_changes_services_that_are_there() -> None:
    changed = found(r"^  (\w+):$", GPU)
    assert set(changed) == {"api", "train"}
    assert "driver: nvidia" in GPU
    assert "NEXTUP_TORCH: ${NEXTUP_TORCH:-torch}" in GPU


def test_the_image_says_what_it_is() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', instruction("LABEL")))
    assert labels["version"] == app.__version__
    assert labels["licenses"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert labels["revision"] == "${REVISION}"
    assert labels["title"] == "nextup"


def test_native_code_is_built_in_the_image_from_what_was_installed_and_the_compiler_stays_behind() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    [builder] = [stage for stage in stages if "models.native.build" in stage]
    installed, built = builder.index("--prefix /code ."), builder.index("PYTHONPATH=$(echo /code/")
    assert builder.index("g++") < installed < builder.index("cd /", installed) < built
    assert "g++" not in stages[-1]
    assert "**/built" in (ROOT / ".dockerignore").read_text().splitlines(), "a library of this machine is not copied"


def test_what_the_image_copies_is_in_the_build_context() -> None:
    copied = [word for line in found(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE) for word in line.split()]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []
