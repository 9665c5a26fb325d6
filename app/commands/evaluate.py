"""`nextup evaluate`: metrics of an artifact on a log, leave-one-out or by time, as tables and one JSON line."""

import json
import sys
import time
from pathlib import Path

import torch

from app.cli.log_files import UNKNOWN_ITEMS, read_log
from app.cli.split_arguments import choose_artifact_moment, describe_split
from app.commands.options.evaluate import EvaluateOptions
from models.artifact import Artifact, load_artifact
from models.data.dataset import UNKNOWN_ITEM, encode
from models.data.splits import make_cases
from models.evaluation.baselines import rank_baselines
from models.evaluation.comparison import Comparison, compare_with_baselines, list_json
from models.evaluation.diversity import compute_diversity
from models.evaluation.evaluate import Evaluation, compute_metrics, evaluate
from models.evaluation.metrics import drop_nan
from models.evaluation.report import (
    ReportTable,
    format_metrics_table,
    format_segments,
    make_report_tables,
    render_html_report,
)
from models.evaluation.segments import Segments, compute_segments
from models.threads import choose_threads

MIN_BASELINE_S = 60.0
"""Time that --baselines may take, or as long as the evaluation of the model if that is longer."""
TIMED_USERS = 256
"""Users that are evaluated with each number of threads."""


def run(arguments: EvaluateOptions) -> int:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.baselines and arguments.sampled is not None:
        raise ValueError("--baselines ranks the full catalogue; leave out --sampled")
    artifact = load_artifact(arguments.artifact, device=arguments.device)
    if arguments.request_times and not artifact.predictor.reads_request_times:
        raise ValueError(
            f"{arguments.artifact} does not read request times; leave out --request-times, or train it with that option"
        )
    log = read_log(arguments)
    moment_ms = choose_artifact_moment(arguments, log.events, artifact.manifest)
    log.report_dropped_items(artifact.catalogue.item_ids, UNKNOWN_ITEMS)
    dataset = encode(log.events, artifact.catalogue, moment_ms=moment_ms)
    if not arguments.threads and artifact.predictor.device == "cpu":
        choose_threads(lambda: evaluate(artifact.predictor, dataset, arguments.part, limit=TIMED_USERS))
    started_at = time.monotonic()
    evaluation = evaluate(
        artifact.predictor,
        dataset,
        arguments.part,
        keep_seen=arguments.keep_seen,
        request_times=arguments.request_times,
        sampled=arguments.sampled,
        seed=arguments.seed,
        limit=arguments.limit,
    )
    cases = make_cases(dataset, arguments.part).spread(arguments.limit)
    segments = compute_segments(evaluation.target_ranks, cases, artifact.catalogue.counts)
    diversity = compute_diversity(evaluation.recommended, cases, artifact.catalogue.counts) if len(cases) else {}
    is_known = cases.targets != UNKNOWN_ITEM
    known_targets = compute_metrics(
        evaluation.target_ranks[is_known], evaluation.recommended[is_known], artifact.catalogue.num_items
    )
    comparison = None
    if arguments.baselines and len(cases):
        max_seconds = max(MIN_BASELINE_S, time.monotonic() - started_at)
        baselines = rank_baselines(dataset, cases, keep_seen=arguments.keep_seen, max_seconds=max_seconds)
        comparison = compare_with_baselines(dataset, cases, baselines, evaluation, artifact.preset)
    candidates = "the full catalogue" if arguments.sampled is None else f"{arguments.sampled} random negatives"
    warning = None if comparison is None else comparison.describe()
    _print_tables(evaluation, candidates, segments, comparison, warning)
    _print_notes(evaluation, known_targets, arguments.keep_seen)
    if arguments.report is not None:
        tables = make_report_tables(segments, comparison, [] if warning is None else [warning])
        _write_report(arguments.report, artifact, evaluation, candidates, tables)
    result = {
        "version": artifact.version,
        "preset": artifact.preset,
        "part": evaluation.part,
        "keep_seen": arguments.keep_seen,
        "request_times": arguments.request_times,
        "sampled": arguments.sampled,
        **drop_nan(evaluation.values),
        "users": evaluation.num_cases,
        "known_targets": {"users": int(is_known.sum()), **drop_nan(known_targets)},
        "repeats": evaluation.repeats,
        "bytes": artifact.bytes_by_part,
        "uncompressed_bytes": artifact.uncompressed_bytes,
        **log.to_json(),
        **describe_split(dataset),
        "unknown_targets": evaluation.unknown_targets,
        "segments": segments,
        "diversity": diversity,
        "baselines": None if comparison is None else list_json(comparison.scores),
        "baseline_users": None if comparison is None else comparison.num_users,
        "beats_baselines": None if comparison is None else comparison.beats_baselines,
    }
    print(json.dumps(result))
    return 0


def _print_tables(
    evaluation: Evaluation, candidates: str, segments: Segments, comparison: Comparison | None, warning: str | None
) -> None:
    print(f"{evaluation.part} of {evaluation.num_cases:,} users against {candidates}:")
    print(format_metrics_table(evaluation.values))
    print(format_segments(segments))
    if comparison is not None:
        print(f"against baselines, {comparison.format_table()}")
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)


def _print_notes(evaluation: Evaluation, known_targets: dict[str, float], keep_seen: bool) -> None:
    if (unmeasured := evaluation.describe_unmeasured()) is not None:
        print(f"warning: {unmeasured}", file=sys.stderr)
    if evaluation.repeats and not keep_seen:
        note = "users repeat an item they already had; these count as misses unless --keep-seen is set"
        print(f"{evaluation.repeats:,} {note}", file=sys.stderr)
    if evaluation.unknown_targets:
        num_known = evaluation.num_cases - evaluation.unknown_targets
        print(
            f"{evaluation.unknown_targets:,} of {evaluation.num_cases:,} targets are not in the catalogue and count as "
            f"misses; over the other {num_known:,} NDCG@10 is {known_targets['ndcg@10']:.4f}",
            file=sys.stderr,
        )


def _write_report(
    path: Path, artifact: Artifact, evaluation: Evaluation, candidates: str, tables: list[ReportTable]
) -> None:
    facts = {"artifact": artifact.version, "preset": artifact.preset, "ranked against": candidates}
    facts |= {f"bytes, {part}": f"{size:,}" for part, size in artifact.bytes_by_part.items()}
    curve = artifact.folder / "training" / "curve.png"
    picture = curve.read_bytes() if curve.exists() else None
    path.write_text(render_html_report(f"nextup: {artifact.preset}", evaluation.values, facts, picture, tables))
