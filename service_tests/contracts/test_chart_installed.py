"""The Helm chart as Helm makes it: objects that Kubernetes would take and that belong together; values it refuses.

Skipped where Helm's library and the schemas of Kubernetes are not installed (`make chart`).
"""

import json
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest

from app.monitoring.files import RULES, files
from app.settings import Settings
from app.telemetry.metrics import QUEUE_DEPTH
from service_tests.contracts.test_chart import CHART
from service_tests.support.nextup_process import ROOT

pytestmark = pytest.mark.skipif(
    find_spec("helm_sdkpy") is None or find_spec("kubernetes_validate") is None,
    reason="helm-sdkpy and kubernetes-validate are not installed (make chart)",
)

Object = dict[str, Any]
LEAST: Object = {
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
CASES = {"least": LEAST, "all": ALL, "demo": DEMO}
OPERATOR = "monitoring.coreos.com/v1"
"""Kinds that come with the Prometheus operator and not with Kubernetes."""


def installed(values: Object) -> Object:
    """What Helm says of an installation with these values: a manifest, or why not."""
    done = subprocess.run(
        [sys.executable, "-m", "service_tests.support.helm_install", str(CHART)],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer: Object = json.loads(done.stdout)
    return answer


@cache
def objects(case: str) -> list[Object]:
    import yaml

    return [one for one in yaml.safe_load_all(installed(CASES[case])["manifest"]) if one]


def only(case: str, kind: str) -> Object:
    [one] = [one for one in objects(case) if one["kind"] == kind]
    return one


def pod(case: str) -> tuple[Object, Object]:
    """The specification of the pod, and of its one container."""
    spec = only(case, "Deployment")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    return spec, container


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_kubernetes_would_take_every_object(case: str, version: str) -> None:
    import kubernetes_validate as kubernetes

    for one in objects(case):
        if one["apiVersion"] != OPERATOR:
            kubernetes.validate(one, version, strict=True)


@pytest.mark.parametrize(
    ("case", "kinds"),
    [
        ("least", "Deployment HorizontalPodAutoscaler PodDisruptionBudget Service"),
        (
            "all",
            "ConfigMap Deployment HorizontalPodAutoscaler NetworkPolicy PodDisruptionBudget PrometheusRule Secret "
            "Service ServiceMonitor",
        ),
        ("demo", "Deployment PodDisruptionBudget Secret Service"),
    ],
)
def test_there_is_what_was_asked_for(case: str, kinds: str) -> None:
    assert " ".join(sorted({one["kind"] for one in objects(case)})) == kinds


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("secret.redisUrl", {"artifact": {"claim": "models"}, "allowAnonymous": True}),
        ("secret.apiKeys", {"artifact": {"claim": "models"}, "secret": {"redisUrl": "redis://redis"}}),
        ("secret.existing", {**LEAST, "secret": {"existing": "a", "redisUrl": "redis://redis"}}),
        ("artifact.claim", {**LEAST, "artifact": {}}),
        ("artifact.demo", {**LEAST, "artifact": {"claim": "models", "demo": True}}),
        ("autoscaling.max", {**LEAST, "autoscaling": {"min": 3, "max": 2}}),
        ("drainSecond'", {**LEAST, "drainSecond": 5}),
        ("drainSeconds", {**LEAST, "drainSeconds": "ten"}),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(said: str, values: Object) -> None:
    assert said in installed(values).get("refused", "")


@pytest.mark.parametrize("case", CASES)
def test_a_pod_may_write_its_volumes_and_nothing_else(case: str) -> None:
    spec, container = pod(case)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert {volume["name"] for volume in spec["volumes"]} == mounted.keys()
    assert {"/tmp", "/data"} <= set(mounted.values())


@pytest.mark.parametrize("case", CASES)
def test_a_pod_that_ends_is_first_not_asked_and_then_has_time_for_what_runs(case: str) -> None:
    spec, container = pod(case)
    [command, before] = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    drain = next(one["value"] for one in container["env"] if one["name"] == "NEXTUP_DRAIN_S")
    assert spec["terminationGracePeriodSeconds"] > int(before) + int(drain)
    probe = container["readinessProbe"]
    assert int(before) > probe["periodSeconds"] * probe["failureThreshold"]


def test_redis_may_be_away_without_a_restart() -> None:
    _, container = pod("least")
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}


@pytest.mark.parametrize("case", CASES)
def test_the_service_accepts_what_it_is_set_to(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, container = pod(case)
    secret = {"NEXTUP_REDIS_URL": "redis://redis", "NEXTUP_API_KEYS": "shop:read:" + "0" * 64}
    if case != "least":
        secret = only(case, "Secret")["stringData"]
    for name, value in [*secret.items(), *((one["name"], one["value"]) for one in container["env"])]:
        assert name.removeprefix("NEXTUP_").lower() in Settings.model_fields
        monkeypatch.setenv(name, value)
    assert Settings().max_k == (50 if case == "all" else 100)


def test_who_selects_the_pods_finds_them() -> None:
    labels = only("all", "Deployment")["spec"]["template"]["metadata"]["labels"]
    service, monitor = only("all", "Service"), only("all", "ServiceMonitor")["spec"]
    selectors = [
        only("all", "Deployment")["spec"]["selector"]["matchLabels"],
        only("all", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only("all", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        service["spec"]["selector"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "nextup", "alerts ask for this job"


def test_pods_follow_the_queue_and_the_cpu() -> None:
    queue, cpu = only("least", "HorizontalPodAutoscaler")["spec"]["metrics"]
    [exposed] = QUEUE_DEPTH.describe()
    assert queue["pods"]["metric"]["name"] == exposed.name
    assert cpu["resource"]["name"] == "cpu"
    assert "cpu" in pod("least")[1]["resources"]["requests"], "a share of what?"
    assert "replicas" not in only("least", "Deployment")["spec"], "an upgrade would set back what was scaled"
    assert only("demo", "Deployment")["spec"]["replicas"] == 1


def test_dashboards_and_rules_arrive_as_they_are_made() -> None:
    import yaml

    made = files()
    shown = [one["data"] for one in objects("all") if one["kind"] == "ConfigMap"]
    arrived = {f"grafana/dashboards/{name[7:]}": text for data in shown for name, text in data.items()}
    assert arrived == {name: text for name, text in made.items() if name != RULES}
    assert only("all", "PrometheusRule")["spec"] == yaml.safe_load(made[RULES])
