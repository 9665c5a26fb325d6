"""`nextup evaluate`: leave-one-out figures of an artifact on a log, as a table and one JSON line."""

import argparse
import json
import sys
from pathlib import Path

import torch

from app.cli.log_files import add_log_arguments, read_log
from models.artifact import load_artifact
from models.data.dataset import encode
from models.evaluation.evaluate import evaluate
from models.evaluation.report import format_metrics_table, render_html_report


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, metavar="ARTIFACT", help="folder of the artifact")
    add_log_arguments(parser)
    parser.add_argument(
        "--part", choices=["test", "valid"], default="test", help="the last event, or the one before it"
    )
    parser.add_argument("--keep-seen", action="store_true", help="items that the user had may be answered")
    parser.add_argument("--sampled", type=int, metavar="N", help="rank against N random items instead of all")
    parser.add_argument("--limit", type=int, metavar="N", help="ask N users only, evenly spread")
    parser.add_argument("--seed", type=int, default=0, help="of the sampled items")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves it to torch")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write a page with the figures")


def run(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    artifact = load_artifact(arguments.artifact, device=arguments.device)
    log = read_log(arguments)
    dataset = encode(log.events, artifact.catalogue)
    found = evaluate(
        artifact.predictor,
        dataset,
        arguments.part,
        keep_seen=arguments.keep_seen,
        sampled=arguments.sampled,
        seed=arguments.seed,
        limit=arguments.limit,
    )
    game = "the whole catalogue" if arguments.sampled is None else f"{arguments.sampled} random items"
    print(f"{found.part} of {found.num_cases:,} users against {game}:\n{format_metrics_table(found.values)}")
    if found.repeats and not arguments.keep_seen:
        note = "users whose next item was one they already had: missed, unless --keep-seen"
        print(f"{found.repeats:,} {note}", file=sys.stderr)
    if arguments.report is not None:
        facts = {"artifact": artifact.version, "preset": artifact.preset, "against": game} | {
            f"bytes, {part}": f"{size:,}" for part, size in artifact.bytes_by_part.items()
        }
        curve = artifact.folder / "training" / "curve.png"
        picture = curve.read_bytes() if curve.exists() else None
        arguments.report.write_text(render_html_report(f"nextup: {artifact.preset}", found.values, facts, picture))
    result = {
        "version": artifact.version,
        "preset": artifact.preset,
        "part": found.part,
        "keep_seen": arguments.keep_seen,
        "sampled": arguments.sampled,
        **found.values,
        "users": found.num_cases,
        "repeats": found.repeats,
        "bytes": artifact.bytes_by_part,
        "uncompressed_bytes": artifact.uncompressed_bytes,
        "bad_rows": log.report.bad_rows,
    }
    print(json.dumps(result))
    return 0
