"""`nextup bench accuracy`: presets × data sets × seeds, each trained and evaluated, in one table."""

import contextlib
import io
import json
import shlex
import subprocess
import time
from collections.abc import Sequence

import torch

from app.cli.event_types import apply_recorded_types, choose_target_type
from app.cli.log_files import read_log
from app.commands.main import Invocation, parse
from app.commands.options.bench_accuracy import BenchAccuracyOptions
from app.commands.options.train import TrainOptions
from app.runtime.subprocesses import build_child_environment, build_python_command
from models.artifact import Artifact, load_artifact
from models.benchmarks.accuracy import BenchmarkLog, ModelVariant, TrainingRun, build_grid, build_rows, format_markdown
from models.data.dataset import Dataset, encode
from models.evaluation.evaluate import evaluate
from models.progress import print_line, progress

NEXTUP = ["-c", "import sys; from app.commands.main import main; sys.exit(main())"]
POLL_S = 2.0
LOG_FILE = "log.txt"


def run(arguments: BenchAccuracyOptions) -> int:
    split_options = ["--split", "time"] if arguments.split == "time" else []
    runs = build_grid(
        _parse_logs(arguments.data, arguments.log_options),
        _parse_models(arguments.presets, arguments.variant),
        arguments.seeds,
        arguments.out,
        [*split_options, *arguments.train_options],
    )
    for each in runs:
        if each.is_complete and (command := each.load_result()["command"]) != each.command:
            print_line(f"{each.name}: result of another command is reused: {command}")
    failed = _train([each for each in runs if not each.is_complete], arguments.jobs)
    rows = build_rows(runs)
    table = format_markdown(rows)
    if arguments.table is not None:
        arguments.table.with_suffix(".md").write_text(table)
        arguments.table.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    print(table)
    for each in failed:
        print(f"failed: {each.name}, see {each.folder}/{LOG_FILE}")
    print(json.dumps({"rows": rows, "runs": len(runs), "failed": len(failed), "passed": not failed}))
    return 1 if failed else 0


def _train(runs: Sequence[TrainingRun], jobs: int) -> list[TrainingRun]:
    """Train `jobs` runs at a time and return those that failed."""
    waiting, failed = list(runs), []
    running: dict[TrainingRun, subprocess.Popen[bytes]] = {}
    try:
        with progress("accuracy", len(runs), "runs") as bar:
            while waiting or running:
                while waiting and len(running) < jobs:
                    started = waiting.pop(0)
                    running[started] = _start_training(started)
                time.sleep(POLL_S)
                for finished in [each for each, process in running.items() if process.poll() is not None]:
                    if running.pop(finished).returncode != 0 or not _store_result(finished):
                        failed.append(finished)
                    bar.advance(note=finished.name)
    finally:
        for process in running.values():
            process.terminate()
            process.wait()
    return failed


def _start_training(run: TrainingRun) -> subprocess.Popen[bytes]:
    """Start a training; an interrupted one resumes from its checkpoint."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / LOG_FILE).open("ab") as log:
        command = build_python_command([*NEXTUP, *run.arguments, "--resume", "--overwrite"])
        return subprocess.Popen(  # noqa: S603 - our own arguments
            command, stdout=log, stderr=log, env=build_child_environment()
        )


def _store_result(run: TrainingRun) -> bool:
    """Store the run's final JSON line and the rank of every user's last item; False if they cannot be read."""
    try:
        result = json.loads((run.folder / LOG_FILE).read_text().strip().splitlines()[-1])
        artifact = load_artifact(run.folder, device="auto")
        dataset = _read_dataset(run, artifact)
    except ValueError as error:
        print_line(f"{run.name}: {error}")
        return False
    torch.set_num_threads(1)
    run.save(result, evaluate(artifact.predictor, dataset, "test", keep_seen=run.keep_seen).target_ranks)
    return True


def _read_dataset(run: TrainingRun, artifact: Artifact) -> Dataset:
    """Read the log of a run as its training did, with the same events held out; ValueError if that is not possible."""
    invocation = parse(run.arguments)
    if not isinstance(invocation, Invocation) or not isinstance(invocation.options, TrainOptions):
        raise ValueError(f"the options of the run are not those of a training: {run.command}")
    manifest = artifact.manifest
    with contextlib.redirect_stderr(io.StringIO()):  # the log of the training has these lines
        log = read_log(invocation.options)
        apply_recorded_types(log, manifest, target_type=choose_target_type(None, manifest))
    moment_ms = manifest.get("split", {}).get("moment_ms")
    return encode(log.events, artifact.catalogue, moment_ms=moment_ms, with_unknown_targets=False)


def _parse_logs(data: Sequence[str], log_options: Sequence[str]) -> list[BenchmarkLog]:
    """Parse the logs with their options; ValueError for options of a log that is not in the data."""
    options: dict[str, tuple[str, ...]] = {}
    for text in log_options:
        name, _, words = text.partition("=")
        options[name] = tuple(shlex.split(words))
        if not options[name]:
            raise ValueError(f"--log-options must be NAME=OPTIONS with at least one option (got {text!r})")
    logs = [BenchmarkLog.parse(text, options.get(text.partition("=")[0], ())) for text in data]
    if unknown := set(options) - {log.name for log in logs}:
        raise ValueError(f"--log-options: {min(unknown)!r} is no name of --data")
    return logs


def _parse_models(presets: str, variants: Sequence[str]) -> list[ModelVariant]:
    models = [ModelVariant.parse(text) for text in (*presets.split(","), *variants)]
    names = [model.name for model in models]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two rows have the name {min(duplicates)!r}; every row needs a different name")
    return models
