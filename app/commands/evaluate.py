"""`nextup evaluate`: metrics of an artifact on a log, leave-one-out or by time, as tables and one JSON line."""

import json
import sys
import time
from typing import Any

import torch

from app.cli.event_types import apply_recorded_types, choose_target_type
from app.cli.log_files import UNKNOWN_ITEMS, read_log
from app.cli.split_arguments import choose_artifact_moment, describe_split
from app.commands.options.evaluate import EvaluateOptions
from models.artifact import Artifact, load_artifact
from models.data.dataset import UNKNOWN_ITEM, Dataset, encode
from models.data.splits import make_cases
from models.evaluation.baselines import rank_baselines
from models.evaluation.comparison import Comparison, compare_with_baselines, list_json
from models.evaluation.evaluate import Evaluation, compute_metrics, evaluate
from models.evaluation.metrics import drop_nan
from models.evaluation.quality import compute_quality
from models.evaluation.report import format_metrics_table, format_segments
from models.evaluation.segments import Segments
from models.reports.evaluation_report import EvaluationResults, write_evaluation_report
from models.reports.model_report import FULL_CATALOGUE
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
    artifact = _load(arguments)
    target_type = choose_target_type(arguments.target_type, artifact.manifest)
    log = read_log(arguments)
    apply_recorded_types(log, artifact.manifest, target_type=target_type)
    moment_ms = choose_artifact_moment(arguments, log.events, artifact.manifest)
    log.report_dropped_items(artifact.catalogue.item_ids, UNKNOWN_ITEMS)
    dataset = encode(log.events, artifact.catalogue, moment_ms=moment_ms)
    if not arguments.threads and artifact.predictor.device == "cpu":
        choose_threads(lambda: evaluate(artifact.predictor, dataset, arguments.part, limit=TIMED_USERS))
    started_at = time.monotonic()
    evaluation = _evaluate(artifact, dataset, arguments)
    cases = make_cases(dataset, arguments.part).spread(arguments.limit)
    quality = compute_quality(dataset, cases, evaluation)
    is_known = cases.targets != UNKNOWN_ITEM
    known_targets = compute_metrics(
        evaluation.target_ranks[is_known], evaluation.recommended[is_known], artifact.catalogue.num_items
    )
    comparison = None
    if arguments.baselines and len(cases):
        max_seconds = max(MIN_BASELINE_S, time.monotonic() - started_at)
        baselines = rank_baselines(dataset, cases, keep_seen=arguments.keep_seen, max_seconds=max_seconds)
        comparison = compare_with_baselines(dataset, cases, baselines, evaluation, artifact.preset)
    candidates = FULL_CATALOGUE if arguments.sampled is None else f"{arguments.sampled} random negatives"
    warning = None if comparison is None else comparison.describe()
    _print_tables(evaluation, candidates, quality.segments, comparison, warning, target_type)
    _print_notes(evaluation, known_targets, is_filtered=not arguments.keep_seen and arguments.sampled is None)
    if arguments.report is not None:
        results = EvaluationResults(
            artifact, dataset, cases, evaluation, quality, comparison, log.funnel, candidates, arguments.request_times
        )
        write_evaluation_report(arguments.report, results)
    result = {
        **_describe_evaluation(artifact, evaluation, arguments),
        "known_targets": {"users": int(is_known.sum()), **drop_nan(known_targets)},
        **log.to_json(),
        **describe_split(dataset),
        "target_type": target_type,
        **quality.to_json(),
        **_describe_comparison(comparison),
    }
    print(json.dumps(result))
    return 0


def _load(arguments: EvaluateOptions) -> Artifact:
    """Load the artifact; ValueError if it cannot be evaluated as the options say."""
    artifact = load_artifact(arguments.artifact, device=arguments.device)
    if arguments.request_times and not artifact.predictor.reads_request_times:
        raise ValueError(
            f"{arguments.artifact} does not read request times; leave out --request-times, or train it with that option"
        )
    return artifact


def _evaluate(artifact: Artifact, dataset: Dataset, arguments: EvaluateOptions) -> Evaluation:
    return evaluate(
        artifact.predictor,
        dataset,
        arguments.part,
        keep_seen=arguments.keep_seen,
        request_times=arguments.request_times,
        sampled=arguments.sampled,
        seed=arguments.seed,
        limit=arguments.limit,
    )


def _describe_evaluation(artifact: Artifact, evaluation: Evaluation, arguments: EvaluateOptions) -> dict[str, Any]:
    return {
        "version": artifact.version,
        "preset": artifact.preset,
        "part": evaluation.part,
        "keep_seen": arguments.keep_seen,
        "request_times": arguments.request_times,
        "sampled": arguments.sampled,
        **drop_nan(evaluation.values),
        "users": evaluation.num_cases,
        "repeats": evaluation.repeats,
        "unknown_targets": evaluation.unknown_targets,
        "bytes": artifact.bytes_by_part,
        "uncompressed_bytes": artifact.uncompressed_bytes,
    }


def _describe_comparison(comparison: Comparison | None) -> dict[str, Any]:
    return {
        "baselines": None if comparison is None else list_json(comparison.scores),
        "baseline_users": None if comparison is None else comparison.num_users,
        "beats_baselines": None if comparison is None else comparison.beats_baselines,
    }


def _print_tables(
    evaluation: Evaluation,
    candidates: str,
    segments: Segments,
    comparison: Comparison | None,
    warning: str | None,
    target_type: str | None,
) -> None:
    targets = "" if target_type is None else f", events of the type {target_type!r},"
    print(f"{evaluation.part}{targets} of {evaluation.num_cases:,} users against {candidates}:")
    print(format_metrics_table(evaluation.values))
    print(format_segments(segments))
    if comparison is not None:
        print(f"against baselines, {comparison.format_table()}")
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)


def _print_notes(evaluation: Evaluation, known_targets: dict[str, float], *, is_filtered: bool) -> None:
    if (unmeasured := evaluation.describe_unmeasured()) is not None:
        print(f"warning: {unmeasured}", file=sys.stderr)
    if evaluation.repeats and is_filtered:
        note = "users repeat an item they already had; these count as misses unless --keep-seen is set"
        print(f"{evaluation.repeats:,} {note}", file=sys.stderr)
    if evaluation.unknown_targets:
        num_known = evaluation.num_cases - evaluation.unknown_targets
        print(
            f"{evaluation.unknown_targets:,} of {evaluation.num_cases:,} targets are not in the catalogue and count as "
            f"misses; over the other {num_known:,} NDCG@10 is {known_targets['ndcg@10']:.4f}",
            file=sys.stderr,
        )
