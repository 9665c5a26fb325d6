"""The grid of an accuracy benchmark: its training runs, their stored results, and the table that compares them.

A run is one `nextup train` with its own folder. Its final JSON line is stored there, so that an interrupted benchmark
resumes with the missing runs.
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.evaluation.bootstrap import bootstrap_difference
from models.evaluation.metrics import TargetRanks, compute_ndcg_gains, hit_rate, mrr, ndcg
from models.presets import preset

RESULT_FILE, RANKS_FILE = "result.json", "places.npy"
SIZES = ("input_bytes", "output_bytes", "transition_bytes", "middle_bytes")
METRICS: dict[str, Callable[[TargetRanks, int], float]] = {"ndcg@10": ndcg, "hr@10": hit_rate, "mrr@10": mrr}


@dataclass(frozen=True, slots=True)
class BenchmarkLog:
    """An interaction log and its name in the table."""

    name: str
    log: Path
    items: Path | None
    options: tuple[str, ...] = ()
    """`nextup train` options of every run on this log."""

    @classmethod
    def parse(cls, text: str, options: tuple[str, ...] = ()) -> Self:
        """Parse `NAME=LOG` or `NAME=LOG,ITEMS`; ValueError for anything else or a missing file."""
        name, _, paths = text.partition("=")
        log, _, items = paths.partition(",")
        if not name or not log:
            raise ValueError(f"--data must be NAME=LOG or NAME=LOG,ITEMS (got {text!r})")
        parsed = cls(name, Path(log), Path(items) if items else None, options)
        for path in (parsed.log, parsed.items):
            if path is not None and not path.exists():
                raise ValueError(f"--data {name}: {path} does not exist")
        return parsed


@dataclass(frozen=True, slots=True)
class ModelVariant:
    """A row of the table: a preset, or a preset with other `nextup train` options."""

    name: str
    preset: str
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a preset's name or `NAME=PRESET --option …`; ValueError for another form or an unknown preset."""
        name, is_variant, definition = text.partition("=")
        preset_name, *options = shlex.split(definition) if is_variant and definition.strip() else [name]
        if not name or "/" in name or (is_variant and not options):
            raise ValueError(f"--variant must be NAME=PRESET OPTIONS with at least one option (got {text!r})")
        return cls(name, preset(preset_name).preset, tuple(options))


@dataclass(frozen=True, slots=True)
class TrainingRun:
    log: BenchmarkLog
    model: ModelVariant
    seed: int
    folder: Path
    train_options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.log.name} {self.model.name} {self.seed}"

    @property
    def is_complete(self) -> bool:
        return (self.folder / RESULT_FILE).exists() and (self.folder / RANKS_FILE).exists()

    @property
    def arguments(self) -> list[str]:
        """Arguments of `nextup` that reproduce this run."""
        items = ["--items", str(self.log.items)] if self.log.items else []
        run_options = ["--preset", self.model.preset, "--seed", str(self.seed), "--out", str(self.folder)]
        return [
            "train",
            str(self.log.log),
            *items,
            *run_options,
            *self.train_options,
            *self.log.options,
            *self.model.options,
        ]

    @property
    def keep_seen(self) -> bool:
        return "--keep-seen" in self.arguments

    @property
    def command(self) -> str:
        return shlex.join(["nextup", *self.arguments])

    def load_ranks(self) -> TargetRanks:
        """Load the rank of the target of every user that is tested."""
        ranks: TargetRanks = np.load(self.folder / RANKS_FILE)
        return ranks

    def load_result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.folder / RESULT_FILE).read_text())
        return result

    def save(self, result: Mapping[str, Any], ranks: TargetRanks) -> None:
        """Store the final JSON line of the training and the ranks; a stored run is complete."""
        np.save(self.folder / RANKS_FILE, ranks)
        (self.folder / RESULT_FILE).write_text(json.dumps({"command": self.command, **result}, indent=1) + "\n")


def build_grid(
    logs: Sequence[BenchmarkLog],
    models: Sequence[ModelVariant],
    seeds: Sequence[int],
    out: Path,
    train_options: Sequence[str],
) -> list[TrainingRun]:
    return [
        TrainingRun(log, model, seed, out / log.name / f"{model.name}-{seed}", tuple(train_options))
        for log in logs
        for model in models
        for seed in seeds
    ]


def build_rows(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    """Build a row per data set and model over all seeds, compared with the data set's first model."""
    table: list[dict[str, Any]] = []
    for _, log_runs in groupby((run for run in runs if run.is_complete), key=lambda run: run.log.name):
        by_model = [list(group) for _, group in groupby(log_runs, key=lambda run: run.model.name)]
        baseline = _compute_gains(by_model[0])
        table += [_build_row(group) | _compare(group, by_model[0], baseline) for group in by_model]
    return table


def format_markdown(table: Sequence[dict[str, Any]]) -> str:
    head = (
        "data | model | NDCG@10 | HR@10 | MRR@10 | against the first | markov | over the better of both | input | "
        "output | transitions | middle | minutes | seeds"
    )
    lines = [f"| {head} |", "| " + " | ".join(["---"] * len(head.split(" | "))) + " |"]
    for row in table:
        metrics = [_format_spread(row[name], row[f"{name}_sd"]) for name in METRICS]
        gap = "{mean:+.4f} ({low:+.4f} to {high:+.4f})".format(**row["difference"]) if row["difference"] else ""
        markov = row["baselines"].get("markov")
        rivals = [
            f"{markov:.4f}" if markov is not None else "",
            f"{row['gain']:+.1%}" if row["gain"] is not None else "",
        ]
        sizes = [f"{row[name] / 1000:,.0f} kB" for name in SIZES]
        effort = [f"{row['minutes']:.0f}", str(len(row["seeds"]))]
        cells = [row["data"], f"`{row['model']}`", *metrics, gap, *rivals, *sizes, *effort]
        lines.append(f"| {' | '.join(cells)} |")
    commands = [f"    {command}" for row in table for command in row["commands"]]
    return "\n".join(
        [*lines, "", "Differences are of NDCG@10, with 95 % paired bootstrap intervals over users.", ""]
    ) + ("\n" + "\n".join(commands) + "\n")


def _build_row(runs: Sequence[TrainingRun]) -> dict[str, Any]:
    results = [run.load_result() for run in runs]
    sizes = results[0]["bytes"]
    values_by_metric = {name: [metric(run.load_ranks(), 10) for run in runs] for name, metric in METRICS.items()}
    means = {name: fmean(values) for name, values in values_by_metric.items()}
    spreads = {f"{name}_sd": stdev(values) if len(values) > 1 else None for name, values in values_by_metric.items()}
    return {
        "data": runs[0].log.name,
        "model": runs[0].model.name,
        "split": results[0].get("split", "leave-one-out"),
        "baselines": {row["name"]: row["ndcg@10"] for row in results[0].get("baselines", [])},
        **means,
        **spreads,
        "input_bytes": sizes["embedding"],
        "output_bytes": sizes["head"] or 0,
        "transition_bytes": sizes.get("transitions", 0),
        "middle_bytes": sizes["encoder"],
        "minutes": fmean(result["seconds"] for result in results) / 60,
        "epochs": [result["epochs"] for result in results],
        "seeds": [run.seed for run in runs],
        "device": results[0].get("device", "cpu"),
        "commands": [result["command"] for result in results],
    }


def _compute_gains(runs: Sequence[TrainingRun]) -> NDArray[np.float64]:
    """Return the NDCG@10 of every user, averaged over seeds."""
    mean: NDArray[np.float64] = np.mean([compute_ndcg_gains(run.load_ranks(), 10) for run in runs], axis=0)
    return mean


def _compare(
    runs: Sequence[TrainingRun], baseline_runs: Sequence[TrainingRun], baseline: NDArray[np.float64]
) -> dict[str, Any]:
    """Compare with the first model, and with the better of it and the Markov chain of the same training."""
    if runs is baseline_runs or runs[0].model == baseline_runs[0].model:
        return {"difference": None, "gain": None}
    gains = _compute_gains(runs)
    difference = bootstrap_difference(gains, baseline)
    rivals = [float(baseline.mean()), *(row["ndcg@10"] for row in _list_markov(runs))]
    return {
        "difference": {"mean": difference.mean, "low": difference.low, "high": difference.high},
        "gain": float(gains.mean()) / max(rivals) - 1 if max(rivals) > 0 else None,
    }


def _list_markov(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    return [row for row in runs[0].load_result().get("baselines", []) if row["name"] == "markov"]


def _format_spread(mean: float, deviation: float | None) -> str:
    return f"{mean:.4f}" if deviation is None else f"{mean:.4f} ± {deviation:.4f}"
