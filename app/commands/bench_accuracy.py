"""`nextup bench accuracy`: presets × data sets × seeds, each trained and evaluated, in one table.

Knows how to run the trainings that are missing, several at a time; which there are is in models/benchmarks/accuracy.py.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from app.runtime.subprocesses import build_child_environment, build_python_command
from models.artifact import load_artifact
from models.benchmarks.accuracy import RANKS, RESULT, Data, Model, TrainingRun, build_grid, format_markdown, rows
from models.data.dataset import encode
from models.data.interactions import read_interactions
from models.evaluation.evaluate import evaluate
from models.presets import PRESETS
from models.progress import print_line, progress

NEXTUP = ["-c", "import sys; from app.commands.main import main; sys.exit(main())"]
LOOK_S = 2.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", action="append", required=True, metavar="NAME=LOG[,ITEMS]", help="may be repeated")
    parser.add_argument("--presets", default=",".join(PRESETS), help="separated by commas; the first is compared with")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="'NAME=PRESET OPTIONS'",
        help="one more row: a preset with other options of `nextup train`, such as a full-size twin; may be repeated",
    )
    parser.add_argument("--seeds", default="1", help="separated by commas")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="artifacts, and results to go on from")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write FILE.md and FILE.json")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time (1)")
    parser.add_argument("train_options", nargs="*", metavar="-- OPTIONS", help="of `nextup train`, for every run")


def run(arguments: argparse.Namespace) -> int:
    runs = build_grid(
        [Data.parse(text) for text in arguments.data],
        _models(arguments.presets, arguments.variant),
        _seeds(arguments.seeds),
        arguments.out,
        arguments.train_options,
    )
    for one in runs:
        if one.is_complete and (made_by := one.result()["command"]) != one.command:
            print_line(f"{one.name}: kept as it is, from another command: {made_by}")
    failed = _train([one for one in runs if not one.is_complete], arguments.jobs)
    table = rows(runs)
    if arguments.table is not None:
        arguments.table.with_suffix(".md").write_text(format_markdown(table))
        arguments.table.with_suffix(".json").write_text(json.dumps(table, indent=1) + "\n")
    print(format_markdown(table))
    for one in failed:
        print(f"failed: {one.name}, see {one.folder}/log.txt")
    print(json.dumps({"rows": table, "runs": len(runs), "failed": len(failed), "passed": not failed}))
    return 1 if failed else 0


def _train(left: Sequence[TrainingRun], jobs: int) -> list[TrainingRun]:
    """Train what is left, `jobs` at a time; those that failed."""
    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; at least 1")
    waiting, failed = list(left), []
    running: dict[TrainingRun, subprocess.Popen[bytes]] = {}
    try:
        with progress("accuracy", len(left), "runs") as shown:
            while waiting or running:
                while waiting and len(running) < jobs:
                    one = waiting.pop(0)
                    running[one] = _start(one)
                time.sleep(LOOK_S)
                for one in [one for one, process in running.items() if process.poll() is not None]:
                    if running.pop(one).returncode != 0 or not _keep(one):
                        failed.append(one)
                    shown.advance(note=one.name)
    finally:
        for process in running.values():
            process.terminate()
            process.wait()
    return failed


def _start(one: TrainingRun) -> subprocess.Popen[bytes]:
    """A run that was stopped goes on from its checkpoint."""
    one.folder.mkdir(parents=True, exist_ok=True)
    with (one.folder / "log.txt").open("ab") as log:
        command = build_python_command([*NEXTUP, *one.arguments(), "--resume", "--overwrite"])
        return subprocess.Popen(command, stdout=log, stderr=log, env=build_child_environment())  # noqa: S603 - our own


def _keep(one: TrainingRun) -> bool:
    """Write what the run said last, and where every user's item was answered; False if it cannot be read back."""
    try:
        said = json.loads((one.folder / "log.txt").read_text().strip().splitlines()[-1])
        artifact = load_artifact(one.folder, device="auto")
    except ValueError as error:
        print_line(f"{one.name}: {error}")
        return False
    torch.set_num_threads(1)
    dataset = encode(read_interactions([one.data.log]).events, artifact.catalogue)
    found = evaluate(artifact.predictor, dataset, "test", keep_seen=one.keep_seen)
    np.save(one.folder / RANKS, found.target_ranks)
    (one.folder / RESULT).write_text(json.dumps({"command": one.command, **said}, indent=1) + "\n")
    return True


def _models(presets: str, variants: Sequence[str]) -> list[Model]:
    models = [Model.parse(text) for text in (*presets.split(","), *variants)]
    names = [model.name for model in models]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two rows would be called {min(twice)!r}: each needs its own name")
    return models


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        raise ValueError(f"--seeds is {text!r}; numbers separated by commas are meant") from None
