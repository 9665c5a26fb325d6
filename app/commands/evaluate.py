"""`nextup evaluate`: leave-one-out metrics of an artifact on a log, as a table and one JSON line."""

import argparse
import json
import sys
from pathlib import Path

import torch

from app.cli.arguments import non_negative_int, positive_int
from app.cli.log_files import add_log_arguments, read_log
from models.artifact import Artifact, load_artifact
from models.data.dataset import encode
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.report import format_metrics_table, render_html_report


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, metavar="ARTIFACT", help="folder of the artifact")
    add_log_arguments(parser)
    parser.add_argument(
        "--part",
        choices=["test", "valid"],
        default="test",
        help="held-out event: test is the last event of each user, valid the one before (default: %(default)s)",
    )
    parser.add_argument("--keep-seen", action="store_true", help="do not filter items that the user already had")
    parser.add_argument(
        "--sampled",
        type=positive_int,
        metavar="N",
        help="rank against N random negatives per user (default: the full catalogue)",
    )
    parser.add_argument(
        "--limit", type=positive_int, metavar="N", help="evaluate an evenly spread sample of N users (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of --sampled (default: %(default)s)")
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where the model runs (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=non_negative_int, default=0, metavar="N", help="CPU threads; 0 = chosen by torch (default)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="also write an HTML report")


def run(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    artifact = load_artifact(arguments.artifact, device=arguments.device)
    log = read_log(arguments)
    dataset = encode(log.events, artifact.catalogue)
    evaluation = evaluate(
        artifact.predictor,
        dataset,
        arguments.part,
        keep_seen=arguments.keep_seen,
        sampled=arguments.sampled,
        seed=arguments.seed,
        limit=arguments.limit,
    )
    candidates = "the full catalogue" if arguments.sampled is None else f"{arguments.sampled} random negatives"
    print(f"{evaluation.part} of {evaluation.num_cases:,} users against {candidates}:")
    print(format_metrics_table(evaluation.values))
    if evaluation.repeats and not arguments.keep_seen:
        note = "users repeat an item they already had; these count as misses unless --keep-seen is set"
        print(f"{evaluation.repeats:,} {note}", file=sys.stderr)
    if arguments.report is not None:
        _write_report(arguments.report, artifact, evaluation, candidates)
    result = {
        "version": artifact.version,
        "preset": artifact.preset,
        "part": evaluation.part,
        "keep_seen": arguments.keep_seen,
        "sampled": arguments.sampled,
        **evaluation.values,
        "users": evaluation.num_cases,
        "repeats": evaluation.repeats,
        "bytes": artifact.bytes_by_part,
        "uncompressed_bytes": artifact.uncompressed_bytes,
        "bad_rows": log.report.bad_rows,
    }
    print(json.dumps(result))
    return 0


def _write_report(path: Path, artifact: Artifact, evaluation: Evaluation, candidates: str) -> None:
    facts = {"artifact": artifact.version, "preset": artifact.preset, "ranked against": candidates}
    facts |= {f"bytes, {part}": f"{size:,}" for part, size in artifact.bytes_by_part.items()}
    curve = artifact.folder / "training" / "curve.png"
    picture = curve.read_bytes() if curve.exists() else None
    path.write_text(render_html_report(f"nextup: {artifact.preset}", evaluation.values, facts, picture))
