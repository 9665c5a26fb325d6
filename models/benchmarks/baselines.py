"""The table of the baselines: data sets × splits × baselines, counted and evaluated without training a model."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from models.data.dataset import prepare_dataset
from models.data.splits import make_cases
from models.data.time_split import Split, find_split_moment, format_moment
from models.evaluation.baselines import rank_baselines
from models.evaluation.comparison import compare_with_baselines, list_json
from models.evaluation.intervals import format_interval
from models.evaluation.segments import compute_segments


def measure_baselines(
    name: str,
    events: pl.DataFrame,
    *,
    split: Split,
    keep_seen: bool,
    max_users: int,
    min_item_events: int,
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Measure all baselines on a log: a row each, best first. ValueError if the log cannot be split by time."""
    moment_ms = find_split_moment(events) if split == "time" else None
    dataset = prepare_dataset(events, min_item_events=min_item_events, moment_ms=moment_ms)
    cases = make_cases(dataset, "test")
    if not len(cases):
        raise ValueError(f"{name}: no user can be tested with --split {split}")
    results = rank_baselines(dataset, cases, keep_seen=keep_seen, max_users=max_users, names=names)
    comparison = compare_with_baselines(dataset, cases, results)
    compared_cases = cases.select(results.rows)
    shared = {
        "data": name,
        "split": split,
        "split_at": None if moment_ms is None else format_moment(moment_ms),
        "keep_seen": keep_seen,
        "events": len(dataset.items),
        "items": dataset.catalogue.num_items,
        "users": comparison.num_users,
        "all_users": comparison.num_cases,
        "unknown_targets": dataset.unknown_targets,
        "users_without_history": 0 if dataset.time_split is None else dataset.time_split.users_without_history,
    }
    return [
        shared
        | row
        | {"segments": compute_segments(results.target_ranks[row["name"]], compared_cases, dataset.catalogue.counts)}
        for row in list_json(comparison.scores)
    ]


def format_baseline_table(rows: Sequence[dict[str, Any]], command: str) -> str:
    """Format the rows as Markdown with the command that reproduces them."""
    head = "data | split | users | baseline | NDCG@10 | 95 % interval | HR@10 | tail NDCG@10 | coverage@10 | novelty@10"
    head += " | unknown targets | CPU seconds"
    lines = [f"| {head} |", "| " + " | ".join(["---"] * len(head.split(" | "))) + " |"]
    for row in rows:
        tail = row["segments"].get("tail items", {}).get("ndcg@10")
        cells = [
            row["data"] + (" (keep-seen)" if row["keep_seen"] else ""),
            row["split"] if row["split_at"] is None else f"{row['split']}, {row['split_at'][:10]}",
            f"{row['users']:,}",
            f"`{row['name']}`",
            f"{row['ndcg@10']:.4f}",
            format_interval(row["ndcg@10_interval"]),
            f"{row['hr@10']:.4f}",
            "" if tail is None else f"{tail:.4f}",
            f"{row['coverage@10']:.3f}",
            f"{row['novelty@10']:.2f}",
            f"{row['unknown_targets']:,}",
            f"{row['cpu_seconds']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    notes = (
        "Intervals are mean ± 1.96 standard errors over users. CPU seconds are for counting and ranking. Unknown "
        "targets of a split by time count as misses; with leave-one-out they are users whose last event is of a "
        "dropped rare item and whose last other event is the target."
    )
    return "\n".join([*lines, "", notes, "", f"    {command}", ""])
