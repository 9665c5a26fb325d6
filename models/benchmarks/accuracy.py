"""The grid of an accuracy benchmark: which trainings there are, what each left behind, and the table of all.

A run is one `nextup train` with its own folder; what it said on its last line is kept there, so a benchmark that was
stopped goes on with the runs that are missing. It starts no process.
"""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.bootstrap import bootstrap_difference
from models.evaluation.metrics import TargetRanks, compute_ndcg_gains, hit_rate, mrr, ndcg
from models.presets import preset

RESULT, RANKS = "result.json", "places.npy"
METRICS: dict[str, Callable[[TargetRanks, int], float]] = {"ndcg@10": ndcg, "hr@10": hit_rate, "mrr@10": mrr}


@dataclass(frozen=True, slots=True)
class Data:
    """A log by the name it has in the table."""

    name: str
    log: Path
    items: Path | None

    @classmethod
    def parse(cls, text: str) -> "Data":
        """`name=log` or `name=log,items`; ValueError for anything else or a file that is not there."""
        name, _, paths = text.partition("=")
        log, _, items = paths.partition(",")
        if not name or not log:
            raise ValueError(f"--data is {text!r}; name=log or name=log,items is meant")
        data = cls(name, Path(log), Path(items) if items else None)
        for path in (data.log, data.items):
            if path is not None and not path.exists():
                raise ValueError(f"--data {name}: {path} is not there")
        return data


@dataclass(frozen=True, slots=True)
class Model:
    """A row of the table: a preset, or a variant of one by the options of `nextup train` that make it."""

    name: str
    preset: str
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Model":
        """A preset's name, or `name=preset --option …`; ValueError by the text or the preset."""
        name, is_variant, rest = text.partition("=")
        preset_name, *options = shlex.split(rest) if is_variant and rest.strip() else [name]
        if not name or "/" in name or (is_variant and not options):
            raise ValueError(f"--variant is {text!r}; name=preset and the options that change it are meant")
        return cls(name, preset(preset_name).preset, tuple(options))


@dataclass(frozen=True, slots=True)
class TrainingRun:
    data: Data
    model: Model
    seed: int
    folder: Path
    extra: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.data.name} {self.model.name} {self.seed}"

    @property
    def is_complete(self) -> bool:
        return (self.folder / RESULT).exists() and (self.folder / RANKS).exists()

    def arguments(self) -> list[str]:
        """Of `nextup`, as a person would type them to make this row again."""
        items = ["--items", str(self.data.items)] if self.data.items else []
        which = ["--preset", self.model.preset, "--seed", str(self.seed), "--out", str(self.folder)]
        return ["train", str(self.data.log), *items, *which, *self.model.options, *self.extra]

    @property
    def keep_seen(self) -> bool:
        return "--keep-seen" in self.arguments()

    @property
    def command(self) -> str:
        return shlex.join(["nextup", *self.arguments()])

    def target_ranks(self) -> TargetRanks:
        """Where the last item of every user of the log was answered."""
        found: TargetRanks = np.load(self.folder / RANKS)
        return found

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / RESULT).read_text())
        return found


def build_grid(
    data: Sequence[Data], models: Sequence[Model], seeds: Sequence[int], out: Path, extra: Sequence[str]
) -> list[TrainingRun]:
    return [
        TrainingRun(log, model, seed, out / log.name / f"{model.name}-{seed}", tuple(extra))
        for log in data
        for model in models
        for seed in seeds
    ]


def rows(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    """A row per data set and model, seeds together; each against the first model of its data set."""
    table: list[dict[str, Any]] = []
    for _, of_data in groupby((run for run in runs if run.is_complete), key=lambda run: run.data.name):
        by_model = [list(group) for _, group in groupby(of_data, key=lambda run: run.model.name)]
        first = _gains(by_model[0])
        table += [_row(group) | _difference(group, by_model[0], first) for group in by_model]
    return table


def format_markdown(table: Sequence[dict[str, Any]]) -> str:
    head = "data | model | NDCG@10 | HR@10 | MRR@10 | against the first | input | output | middle | minutes | seeds"
    lines = [f"| {head} |", "| " + " | ".join(["---"] * len(head.split(" | "))) + " |"]
    for row in table:
        figures = [_spread(row[name], row[f"{name}_sd"]) for name in METRICS]
        gap = "{mean:+.4f} ({low:+.4f} to {high:+.4f})".format(**row["difference"]) if row["difference"] else ""
        sizes = [f"{row[name] / 1000:,.0f} kB" for name in ("input_bytes", "output_bytes", "middle_bytes")]
        run = [f"{row['minutes']:.0f}", str(len(row["seeds"]))]
        cells = [row["data"], f"`{row['model']}`", *figures, gap, *sizes, *run]
        lines.append(f"| {' | '.join(cells)} |")
    commands = [f"    {command}" for row in table for command in row["commands"]]
    return "\n".join(
        [*lines, "", "Differences are of NDCG@10, with 95 % paired bootstrap intervals over users.", ""]
    ) + ("\n" + "\n".join(commands) + "\n")


def _row(runs: Sequence[TrainingRun]) -> dict[str, Any]:
    results = [run.result() for run in runs]
    sizes = results[0]["bytes"]
    found = {name: [metric(run.target_ranks(), 10) for run in runs] for name, metric in METRICS.items()}
    means = {name: fmean(values) for name, values in found.items()}
    spreads = {f"{name}_sd": stdev(values) if len(values) > 1 else None for name, values in found.items()}
    return {
        "data": runs[0].data.name,
        "model": runs[0].model.name,
        **means,
        **spreads,
        "input_bytes": sizes["embedding"],
        "output_bytes": sizes["head"] or 0,
        "middle_bytes": sizes["encoder"],
        "minutes": fmean(result["seconds"] for result in results) / 60,
        "epochs": [result["epochs"] for result in results],
        "seeds": [run.seed for run in runs],
        "device": results[0].get("device", "cpu"),
        "commands": [result["command"] for result in results],
    }


def _gains(runs: Sequence[TrainingRun]) -> NDArray[np.float64]:
    """NDCG@10 of every user, mean over the seeds."""
    mean: NDArray[np.float64] = np.mean([compute_ndcg_gains(run.target_ranks(), 10) for run in runs], axis=0)
    return mean


def _difference(
    runs: Sequence[TrainingRun], first: Sequence[TrainingRun], of_first: NDArray[np.float64]
) -> dict[str, Any]:
    if runs is first or runs[0].model == first[0].model:
        return {"difference": None}
    found = bootstrap_difference(_gains(runs), of_first)
    return {"difference": {"mean": found.mean, "low": found.low, "high": found.high}}


def _spread(mean: float, deviation: float | None) -> str:
    return f"{mean:.4f}" if deviation is None else f"{mean:.4f} ± {deviation:.4f}"
