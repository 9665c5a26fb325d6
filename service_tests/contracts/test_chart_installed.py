"""The Helm chart rendered by Helm: valid and consistent Kubernetes objects, and errors for invalid values.

Skipped unless helm-sdkpy and the Kubernetes schemas are installed (`make chart`).
"""

import json
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest

from app.monitoring.files import RULES_FILE, render_files
from app.settings import Settings
from app.telemetry.metrics import QUEUE_DEPTH
from service_tests.contracts.test_chart import CHART
from service_tests.support.nextup_process import ROOT

pytestmark = [
    pytest.mark.optional,
    pytest.mark.process,
    pytest.mark.skipif(
        find_spec("helm_sdkpy") is None or find_spec("kubernetes_validate") is None,
        reason="helm-sdkpy and kubernetes-validate are not installed (make chart)",
    ),
]

Object = dict[str, Any]
MINIMAL: Object = {
    "secret": {"existing": "nextup-secrets"},
    "artifact": {"claim": "models"},
}
ALL: Object = {
    "secret": {"redisUrl": "redis://redis:6379", "apiKeys": "shop:read:" + "0" * 64, "metricsKey": "m"},
    "artifact": {"claim": "models", "path": "shop"},
    "settings": {"NEXTUP_MAX_K": 50, "NEXTUP_NATIVE": False},
    "resources": {"limits": {"nvidia.com/gpu": 1}},
    "imagePullSecrets": [{"name": "registry"}],
    "monitoring": {"serviceMonitor": True, "rules": True, "dashboards": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {
        "enabled": True,
        "from": [{"podSelector": {"matchLabels": {"app": "shop"}}}],
        "redis": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
    },
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
DEMO: Object = {
    "secret": {"redisUrl": "redis://redis:6379"},
    "allowAnonymous": True,
    "artifact": {"demo": True},
    "autoscaling": {"enabled": False},
    "replicas": 1,
}
CASES = {"minimal": MINIMAL, "all": ALL, "demo": DEMO}
OPERATOR = "monitoring.coreos.com/v1"
"""API group of the Prometheus operator; its kinds are not part of Kubernetes."""


def install_chart(values: Object) -> Object:
    """Install the chart with these values; the result has a `manifest` or an `error`."""
    process = subprocess.run(
        [sys.executable, "-m", "service_tests.support.helm_install", str(CHART)],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    result: Object = json.loads(process.stdout)
    return result


@cache
def render_objects(case: str) -> list[Object]:
    import yaml

    return [item for item in yaml.safe_load_all(install_chart(CASES[case])["manifest"]) if item]


def get_object(case: str, kind: str) -> Object:
    [item] = [item for item in render_objects(case) if item["kind"] == kind]
    return item


def get_pod(case: str) -> tuple[Object, Object]:
    """The pod specification and that of its container."""
    spec = get_object(case, "Deployment")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    return spec, container


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_objects_match_the_kubernetes_schemas(case: str, version: str) -> None:
    import kubernetes_validate as kubernetes

    for item in render_objects(case):
        if item["apiVersion"] != OPERATOR:
            kubernetes.validate(item, version, strict=True)


@pytest.mark.parametrize(
    ("case", "kinds"),
    [
        ("minimal", "Deployment HorizontalPodAutoscaler PodDisruptionBudget Service"),
        (
            "all",
            "ConfigMap Deployment HorizontalPodAutoscaler NetworkPolicy PodDisruptionBudget PrometheusRule Secret "
            "Service ServiceMonitor",
        ),
        ("demo", "Deployment PodDisruptionBudget Secret Service"),
    ],
)
def test_chart_renders_the_kinds_that_the_values_select(case: str, kinds: str) -> None:
    assert " ".join(sorted({item["kind"] for item in render_objects(case)})) == kinds


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("secret.redisUrl", {"artifact": {"claim": "models"}, "allowAnonymous": True}),
        ("secret.apiKeys", {"artifact": {"claim": "models"}, "secret": {"redisUrl": "redis://redis"}}),
        ("secret.existing", {**MINIMAL, "secret": {"existing": "a", "redisUrl": "redis://redis"}}),
        ("artifact.claim", {**MINIMAL, "artifact": {}}),
        ("artifact.demo", {**MINIMAL, "artifact": {"claim": "models", "demo": True}}),
        ("autoscaling.max", {**MINIMAL, "autoscaling": {"min": 3, "max": 2}}),
        ("drainSecond'", {**MINIMAL, "drainSecond": 5}),
        ("drainSeconds", {**MINIMAL, "drainSeconds": "ten"}),
    ],
)
def test_invalid_values_fail_with_an_error_that_names_the_value(message: str, values: Object) -> None:
    assert message in install_chart(values).get("error", "")


@pytest.mark.parametrize("case", CASES)
def test_pod_can_write_only_to_its_volumes(case: str) -> None:
    spec, container = get_pod(case)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert {volume["name"] for volume in spec["volumes"]} == mounts.keys()
    assert {"/tmp", "/data"} <= set(mounts.values())


@pytest.mark.parametrize("case", CASES)
def test_pod_leaves_the_service_before_it_drains(case: str) -> None:
    spec, container = get_pod(case)
    [command, pre_stop_s] = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    drain = next(item["value"] for item in container["env"] if item["name"] == "NEXTUP_DRAIN_S")
    assert spec["terminationGracePeriodSeconds"] > int(pre_stop_s) + int(drain)
    probe = container["readinessProbe"]
    assert int(pre_stop_s) > probe["periodSeconds"] * probe["failureThreshold"]


def test_pod_is_not_restarted_while_redis_is_down() -> None:
    _, container = get_pod("minimal")
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}


@pytest.mark.parametrize("case", CASES)
def test_service_accepts_the_settings_of_the_chart(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, container = get_pod(case)
    secret = {"NEXTUP_REDIS_URL": "redis://redis", "NEXTUP_API_KEYS": "shop:read:" + "0" * 64}
    if case != "minimal":
        secret = get_object(case, "Secret")["stringData"]
    for name, value in [*secret.items(), *((item["name"], item["value"]) for item in container["env"])]:
        assert name.removeprefix("NEXTUP_").lower() in Settings.model_fields
        monkeypatch.setenv(name, value)
    assert Settings().max_k == (50 if case == "all" else 100)


def test_selectors_match_the_pod_labels() -> None:
    labels = get_object("all", "Deployment")["spec"]["template"]["metadata"]["labels"]
    service, monitor = get_object("all", "Service"), get_object("all", "ServiceMonitor")["spec"]
    selectors = [
        get_object("all", "Deployment")["spec"]["selector"]["matchLabels"],
        get_object("all", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        get_object("all", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        service["spec"]["selector"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "nextup", "alerts select this job"


def test_autoscaler_follows_queue_depth_and_cpu() -> None:
    queue, cpu = get_object("minimal", "HorizontalPodAutoscaler")["spec"]["metrics"]
    [exposed] = QUEUE_DEPTH.describe()
    assert queue["pods"]["metric"]["name"] == exposed.name
    assert cpu["resource"]["name"] == "cpu"
    assert "cpu" in get_pod("minimal")[1]["resources"]["requests"], "utilization is relative to the request"
    assert "replicas" not in get_object("minimal", "Deployment")["spec"], "an upgrade would undo the autoscaler"
    assert get_object("demo", "Deployment")["spec"]["replicas"] == 1


def test_dashboards_and_rules_are_installed_unchanged() -> None:
    import yaml

    rendered = render_files()
    config_maps = [item["data"] for item in render_objects("all") if item["kind"] == "ConfigMap"]
    installed = {f"grafana/dashboards/{name[7:]}": text for data in config_maps for name, text in data.items()}
    assert installed == {name: text for name, text in rendered.items() if name != RULES_FILE}
    assert get_object("all", "PrometheusRule")["spec"] == yaml.safe_load(rendered[RULES_FILE])
