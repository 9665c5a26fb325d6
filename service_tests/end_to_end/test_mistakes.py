"""Every command with at least twelve mistakes: one line that names the problem, a status, no traceback and no secret.

Mistakes in options follow from their declarations, so that a new option is tried as well.
"""

import gzip
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.cli.arguments import InvalidText
from app.cli.options import Argument, Parameter, list_parameters
from app.commands.registry import BENCHMARKS, COMMANDS, SUBCOMMANDS
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.command_trials import Outcome, Trial, run_trials
from service_tests.support.versions import corrupt_byte

pytestmark = [pytest.mark.process, pytest.mark.slow]

SECRET = "s3cret-Zx81"
ALL = COMMANDS | SUBCOMMANDS | {f"bench {name}": command for name, command in BENCHMARKS.items()}
MIN_MISTAKES = 12
NO_FOLDER = "/proc/nextup"
"""The kernel creates no file there, not even for root."""
STORE_COMMANDS = ("load", "items load", "consume", "dump", "archive", "erase", "serve")
Trials = dict[str, Trial]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    rows = [f"u{user},i{1 + (user + step) % 9},{1_700_000_000 + step}" for user in range(20) for step in range(9)]
    text = "\n".join(["user_id,item_id,timestamp", *rows]) + "\n"
    (folder / "log.csv").write_text(text)
    (folder / "cut.csv.gz").write_bytes(gzip.compress(text.encode())[:60])
    (folder / "binary.parquet").write_bytes(bytes(range(256)))
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("user_id,item_id,timestamp\n")
    (folder / "items.csv").write_text("item_id,price\ni1,7\n")
    (folder / "no-folder").mkdir()
    write_tiny_artifact(folder / "artifact")
    corrupt_byte(write_tiny_artifact(folder / "corrupt"))
    for name in ("manifest", "unreadable"):
        (folder / name).mkdir()
    (folder / "manifest" / "manifest.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def find_words(name: str, folder: Path) -> list[str]:
    """A command line without mistakes; it need not run."""
    log, artifact, out = (str(folder / part) for part in ("log.csv", "artifact", "out"))
    words: Mapping[str, list[str]] = {
        "train": [log, "--out", out, "--preset", "popular"],
        "evaluate": [artifact, log],
        "extend": [artifact, log, "--out", out],
        "index": [artifact, log, "--min-items", "0"],
        "publish": [artifact, "--into", str(folder / "models")],
        "serve": ["--artifact", artifact, "--port", "0"],
        "inspect": [log],
        "load": [log],
        "consume": ["redis", "--metrics-port", "0", "--until-idle", "0.1"],
        "dump": ["--out", out],
        "archive": ["--once"],
        "erase": ["ada"],
        "key": ["shop", "read"],
        "plan": ["--items", "10k"],
        "monitoring": ["--out", out],
        "recommend": ["ada", "--artifact", artifact],
        "similar": ["i1", "--artifact", artifact],
        "vectors": [artifact, log, "--out", f"{out}.parquet"],
        "items": [artifact],
        "items load": [str(folder / "items.csv")],
        "demo": ["--out", out],
        "bench accuracy": ["--data", f"x={log}", "--presets", "popular", "--out", out],
        "bench baselines": ["--data", f"x={log}"],
        "bench chart": [str(folder), "--out", f"{out}.png"],
    }
    return [*name.split(), *words.get(name, [])]


def list_option_mistakes(name: str, words: list[str], folder: Path) -> Trials:
    """Mistakes that follow from the declarations of the options."""
    trials: Trials = {
        "unknown option": Trial([*words, "--nonsense", "1"]),
        "option with typo": Trial([*words, "--otu"]),
    }
    parameters = list(list_parameters(ALL[name].load_options()))
    if any(parameter.required for parameter in parameters):
        trials["no arguments"] = Trial(name.split())
    if not any(parameter.spec.repeat for parameter in parameters if isinstance(parameter.spec, Argument)):
        trials["one argument too many"] = Trial([*words, "extra", "extra"])
    for parameter in parameters:
        label = parameter.label
        if isinstance(parameter.spec, Argument):
            continue
        if parameter.is_flag:
            trials[f"{label} with a value"] = Trial([*words, f"{label}=7"])
            continue
        trials[f"{label} without a value"] = Trial([*words, label])
        for text in ("x", "-1", "0", "nan", "1e999", "9" * 400):
            if rejects(parameter, text):
                trials[f"{label} {text[:9]}"] = Trial([*words, label, text])
        if parameter.spec.place is not None:
            for path in (NO_FOLDER, str(folder / "log.csv" / "below"), str(folder / "missing" / "\0")):
                if path != NO_FOLDER or parameter.spec.place != "input_file":
                    trials[f"{label} {path!r}"] = Trial([*words, label, path])
    return trials


def rejects(parameter: Parameter, text: str) -> bool:
    if parameter.spec.choices:
        return text not in parameter.spec.choices
    try:
        return parameter.spec.parse is not None and parameter.spec.parse(text) is None
    except InvalidText:
        return True


def list_input_mistakes(name: str, words: list[str], folder: Path, taken_port: int) -> Trials:
    """Logs and artifacts that cannot be read, settings that are wrong, and a store that does not answer."""
    trials: Trials = {}
    log, artifact = str(folder / "log.csv"), str(folder / "artifact")
    if log in words:
        for file in ("missing.csv", "no-folder", "cut.csv.gz", "binary.parquet", "empty.csv", "header.csv"):
            trials[f"log {file}"] = Trial([str(folder / file) if word == log else word for word in words])
        for columns in ("user=nobody", "user", "size=3", "user=item_id,item=item_id,time=item_id"):
            trials[f"columns {columns}"] = Trial([*words, "--columns", columns])
    if artifact in words:
        for source in ("missing", "no-folder", "corrupt", "manifest", "log.csv"):
            # Wrong weights are found by a worker of the service (test_process.py), and not read by `nextup items`.
            if name in ("serve", "items") and source == "corrupt":
                continue
            trials[f"artifact {source}"] = Trial([str(folder / source) if word == artifact else word for word in words])
    if name in STORE_COMMANDS:
        for url in (f"redis://:{SECRET}/x@h", f"redis://h:{SECRET}", f"http://:{SECRET}@h", f"redis://h/{SECRET}"):
            trials[f"Redis at {url}"] = Trial(words, {"NEXTUP_REDIS_URL": url})
        trials["redis pool"] = Trial(words, {"NEXTUP_REDIS_POOL": "0"})
        trials["history"] = Trial(words, {"NEXTUP_HISTORY_MAX_EVENTS": "many"})
        data = {"NEXTUP_DATA_DIR": NO_FOLDER}
        trials["data folder"] = Trial(words, data)
        if name != "serve":  # which starts without Redis and reports it on /readyz
            down = {"NEXTUP_REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1"}
            trials["Redis that does not answer"] = Trial(words, down)
            sentinel = {"NEXTUP_REDIS_URL": f"rediss+sentinel://:{SECRET}@127.0.0.1:1/shop"}
            trials["Sentinel that does not answer"] = Trial(words, sentinel)
    if name == "serve":
        for variable, value in {
            "NEXTUP_API_KEYS": SECRET,
            "NEXTUP_OTLP_ENDPOINT": f"http://me:{SECRET}@",
            "NEXTUP_HOST": "0.0.0.0",
            "NEXTUP_DEVICE": "tpu",
            "NEXTUP_UNIX_SOCKET": log,
        }.items():
            trials[f"{variable} {value}"] = Trial(words, {variable: value})
        trials["taken port"] = Trial([*words, "--port", str(taken_port)])
        trials["workers"] = Trial([*words, "--workers", "0"])
    trials |= list_stream_mistakes(words, folder, taken_port) if name == "consume" else {}
    return trials | list_archive_mistakes(name, words) | list_special_mistakes(name, words, folder)


def list_archive_mistakes(name: str, words: list[str]) -> Trials:
    """Settings that only the archive uses."""
    settings = {
        "URL with a password": ("NEXTUP_EVENT_LOG_DIR", f"s3://me:{SECRET}@bucket/events"),
        "unknown store": ("NEXTUP_EVENT_LOG_DIR", "ftp://host/events"),
        "interval": ("NEXTUP_ARCHIVE_S", "0"),
    }
    if name != "archive":
        return {}
    return {mistake: Trial(words, {variable: value}) for mistake, (variable, value) in settings.items()}


def list_stream_mistakes(words: list[str], folder: Path, taken_port: int) -> Trials:
    """A stream that does not answer, a port that is in use, and a file that has no properties."""
    trials = {"taken port": Trial([*words, "--metrics-port", str(taken_port)])}
    for url in (f"redis://:{SECRET}/x@h", f"redis://:{SECRET}@127.0.0.1:1"):
        trials[f"stream at {url}"] = Trial(words, {"NEXTUP_STREAM_URL": url})
    kafka = ["consume", "kafka", "--brokers", "127.0.0.1:1", "--topic", "events"]
    return trials | {"properties": Trial([*kafka, "--properties", str(folder / "log.csv")])}


def list_special_mistakes(name: str, words: list[str], folder: Path) -> Trials:
    """Mistakes that only this command allows."""
    log = str(folder / "log.csv")
    special: Mapping[str, list[list[str]]] = {
        "train": [
            [*words, "--split-at", "1700000000"],
            [*words, "--option", "encoder"],
            [*words, "--preset", "sasrec", "--option", "encoder.nothing=1"],
            [*words, "--items", log + ".missing"],
            ["train", log, "--out", str(folder / "artifact")],
        ],
        "evaluate": [[*words, "--baselines", "--sampled", "5"], [*words, "--split", "time"]],
        "consume": [
            ["consume", "rabbit"],
            ["consume", "kafka", "--topic", "events"],
            ["consume", "kafka", "--brokers", "127.0.0.1:1"],
            *([*words, option, ""] for option in ("--stream", "--field", "--group")),
        ],
        "items load": [
            *(
                ["items", "load", str(folder / file)]
                for file in ("missing.csv", "no-folder", "empty.csv", "header.csv")
            ),
            *([*words, "--attributes", text] for text in ("prize", "unit price", "1")),
            [*words, "--columns", "item=sku"],
        ],
        "dump": [["dump", "--out", str(folder)], ["dump", "--out", log]],
        "erase": [["erase", ""], ["erase", "x" * 200]],
        "key": [
            *(["key", text, "read"] for text in ("", "a b", "a:b", "a,b", "a\nb", "é é")),
            *(["key", "shop", text] for text in ("", "all", "READ", "read,write")),
        ],
        "recommend": [["recommend"], ["recommend", "ada", "--url", "shop"], ["recommend", "x" * 200]],
        "similar": [["similar", "none", *words[2:]], ["similar", "i1", "--url", f"http://me:{SECRET}@127.0.0.1:1"]],
        "demo": [
            *(["demo", "--out", text] for text in (log, f"{log}/x", "x\0y", "x" * 300, "")),
            ["demo", f"--out={NO_FOLDER}/x/y"],
        ],
        "monitoring": [
            *(["monitoring", "--out", text] for text in (log, f"{log}/x", "x\0y", "x" * 300)),
            *(["monitoring", f"--out={NO_FOLDER}/{text}"] for text in ("x", "x/y")),
        ],
        "publish": [
            [*words, "--url", f"http://me:{SECRET}@127.0.0.1:1"],
            [*words, "--url", f"http://me:{SECRET}@host:port"],
            [*words, "--url", "127.0.0.1"],
        ],
    }
    return {f"special {number}": Trial(line) for number, line in enumerate(special.get(name, []))}


@pytest.fixture(scope="module")
def outcomes(folder: Path, taken_port: int) -> dict[str, dict[str, tuple[Trial, Outcome]]]:
    """Outcomes by command and mistake."""
    trials: dict[str, Trials] = {}
    for name in ALL:
        words = find_words(name, folder)
        trials[name] = list_option_mistakes(name, words, folder)
        trials[name] |= list_input_mistakes(name, words, folder, taken_port)
    flat = [(name, mistake, trial) for name, each in trials.items() for mistake, trial in each.items()]
    results = run_trials([trial for _, _, trial in flat], folder / "data")
    grouped: dict[str, dict[str, tuple[Trial, Outcome]]] = {name: {} for name in ALL}
    for (name, mistake, trial), outcome in zip(flat, results, strict=True):
        grouped[name][mistake] = trial, outcome
    return grouped


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ALL)
def test_every_mistake_is_one_line_without_a_traceback_or_a_secret(
    name: str, outcomes: dict[str, dict[str, tuple[Trial, Outcome]]]
) -> None:
    problems = []
    for mistake, (trial, outcome) in outcomes[name].items():
        if problem := find_problem(outcome):
            problems.append(f"{mistake}: {problem}: {json.dumps(trial.words[-4:])}\n{outcome.out}{outcome.err[-1500:]}")
    assert not problems, "\n".join(problems)
    if name in COMMANDS:
        assert len(outcomes[name]) >= MIN_MISTAKES, sorted(outcomes[name])


def find_problem(outcome: Outcome) -> str | None:
    """Say what is wrong with the reaction to a mistake; None if nothing is."""
    lines = outcome.err.splitlines()
    errors = [line for line in lines if line.startswith("nextup: error: ")]
    if outcome.status is None or outcome.status == 0:
        return f"status {outcome.status}"
    if SECRET in outcome.out + outcome.err:
        return "a secret"
    if "Traceback" in outcome.err:
        return "a traceback"
    if len(errors) != 1 or lines[-1] != errors[0]:
        return "not one line at the end"
    return "a message without words" if len(errors[0]) < len("nextup: error: ") + 12 else None
