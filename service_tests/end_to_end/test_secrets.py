"""No secret appears in what commands and the service print: all commands, both log formats, errors included."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.api_keys import generate_key
from app.commands.registry import COMMANDS, SUBCOMMANDS
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.command_trials import Trial, run_trials
from service_tests.support.nextup_process import run_service
from service_tests.support.redis_processes import RedisProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]

PASSWORD, METRICS_KEY = "pa55-Zx81", "m3trics-Zx81"
TOKEN, ENTRY = generate_key("ops", ["admin"])
SECRETS = (PASSWORD, METRICS_KEY, TOKEN, ENTRY.rpartition(":")[2], "p%40ss-Zx81", "p@ss-Zx81")


def find_secrets(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.timeout(300)
def test_no_command_prints_a_secret_of_its_environment(tmp_path: Path) -> None:
    rows = [f"u{user},i{1 + (user + step) % 9},{1_700_000_000 + step}" for user in range(30) for step in range(9)]
    log, artifact = tmp_path / "log.csv", write_tiny_artifact(tmp_path / "artifact", num_items=9)
    log.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    commands = {
        "train": [str(log), "--out", str(tmp_path / "trained"), "--preset", "popular"],
        "evaluate": [str(artifact), str(log)],
        "extend": [str(artifact), str(log), "--out", str(tmp_path / "extended")],
        "index": [str(artifact), str(log), "--min-items", "0"],
        "publish": [str(artifact), "--into", str(tmp_path / "models"), "--key", TOKEN],
        "rollback": ["--key", TOKEN],
        "inspect": [str(log)],
        "load": [str(log)],
        "consume": ["redis", "--metrics-port", "0", "--until-idle", "0.1"],
        "dump": ["--out", str(tmp_path / "dump")],
        "archive": ["--once"],
        "erase": ["u1"],
        "key": ["shop", "read"],
        "plan": ["--items", "10k"],
        "monitoring": ["--out", str(tmp_path / "monitoring")],
        "doctor": [],
        "recommend": ["u1", "--artifact", str(artifact), "--key", TOKEN],
        "similar": ["i1", "--key", TOKEN, "--url", f"http://me:{PASSWORD}@127.0.0.1:1"],
        "vectors": [str(artifact), "--out", str(tmp_path / "vectors.parquet")],
        "items": [str(artifact)],
        "items load": [str(log)],
        "demo": ["--out", str(tmp_path / "demo")],
    }
    assert set(commands) == (set(COMMANDS) | set(SUBCOMMANDS)) - {"serve"}, "add the command here"
    variables = {
        "NEXTUP_REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:1",
        "NEXTUP_METRICS_KEY": METRICS_KEY,
        "NEXTUP_API_KEYS": ENTRY,
        "NEXTUP_OTLP_ENDPOINT": "http://me:p%40ss-Zx81@collector:4318",
        "NEXTUP_REDIS_URI": f"redis://:{PASSWORD}@127.0.0.1:1",
        "NEXTUP_STREAM_URL": f"redis://:{PASSWORD}@127.0.0.1:1",
        "NEXTUP_PORT": "1",
    }
    broken = {
        "NEXTUP_REDIS_URL": f"redis://:{PASSWORD}/x@127.0.0.1:1",
        "NEXTUP_API_KEYS": TOKEN,
        "NEXTUP_OTLP_ENDPOINT": "http://me:p@ss-Zx81@collector:port",
        "NEXTUP_HOST": f"{PASSWORD}",
    }
    trials = [
        Trial([*name.split(), *words], each)
        for name, words in commands.items()
        for each in (variables, variables | broken)
    ]
    trials += [Trial([*name.split(), "--help"], variables) for name in COMMANDS | SUBCOMMANDS]
    trials += [Trial(["serve", "--artifact", str(artifact), "--port", "0"], variables | broken)]
    for trial, outcome in zip(trials, run_trials(trials, tmp_path / "data"), strict=True):
        text = outcome.out + outcome.err
        assert find_secrets(text) == [], f"{trial.words[0]} prints a secret"
        assert "Traceback" not in text, trial.words
        if trial.variables is variables and "--help" not in trial.words:
            assert "NEXTUP_REDIS_URI is not a setting and has no effect; did you mean NEXTUP_REDIS_URL?" in text


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    server = RedisProcess(tmp_path / "redis", {"save": ""})
    with server.connect() as client:
        client.config_set("requirepass", PASSWORD)
    yield server
    server.stop()


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_service_logs_no_secret_while_it_works_and_while_redis_is_down(
    log_format: str, workers: str, redis: RedisProcess, tiny_artifact: Path, tmp_path: Path
) -> None:
    variables = {
        "NEXTUP_REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{redis.port}",
        "NEXTUP_METRICS_KEY": METRICS_KEY,
        "NEXTUP_API_KEYS": ENTRY,
        "NEXTUP_LOG_FORMAT": log_format,
        "NEXTUP_REDIS_URI": PASSWORD,
    }
    responses = []
    options = ["--artifact", str(tiny_artifact), "--workers", workers]
    with run_service(tmp_path / "data", *options, **variables) as service:
        for key in (TOKEN, f"{TOKEN}x", ENTRY, METRICS_KEY):
            for path in ("/models", "/metrics", "/users/u1/history", "/nothing"):
                headers = {"Authorization": f"Bearer {key}"}
                responses.append(httpx.get(f"{service.url}{path}", headers=headers, timeout=60).text)
        redis.kill()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        responses.append(httpx.get(f"{service.url}/users/u1/history", headers=headers, timeout=60).text)
        responses.append(
            httpx.post(f"{service.url}/recommend", json={"user_id": "u1"}, headers=headers, timeout=60).text
        )
    assert find_secrets("\n".join([*responses, *service.output])) == []
    lines = [line for line in service.output if "NEXTUP_REDIS_URI is not a setting" in line]
    assert len(lines) == 1, "once, not per worker"
    if log_format == "json":
        assert all(json.loads(line) for line in service.output)


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("url", [f"redis://:{PASSWORD}@127.0.0.1:1", f"rediss+cluster://:{PASSWORD}@127.0.0.1:1"])
def test_start_without_redis_logs_its_url_without_the_password(
    log_format: str, url: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    options = ["--artifact", str(tiny_artifact)]
    with run_service(
        tmp_path, *options, NEXTUP_REDIS_URL=url, NEXTUP_LOG_FORMAT=log_format, wait_for="/livez"
    ) as service:
        readiness = httpx.get(f"{service.url}/readyz", timeout=60).text
    output = "\n".join([*service.output, readiness])
    assert "Redis does not answer at redis" in output
    assert find_secrets(output) == []
    assert "Traceback" not in output
