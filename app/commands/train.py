"""`nextup train`: read a log, train a model, evaluate it and write an artifact.

Started by torchrun, it is one of several ranks (docs/training/distributed.md).
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from app.cli.arguments import fraction, non_negative_int, positive_float, positive_int
from app.cli.log_files import add_log_arguments, read_log
from app.cli.split_arguments import add_split_arguments, choose_moment, describe_split
from app.commands.model_arguments import add_model_arguments, build_model_config
from models.data.dataset import prepare_dataset
from models.data.items import read_items
from models.device import choose_device
from models.evaluation.report import format_metrics_table
from models.presets import preset
from models.ranks import Ranks
from models.training.advice import advise
from models.training.launch import join_ranks, select_rank_device
from models.training.options import LOSSES, RunContext, TrainingOptions
from models.training.pipeline import train_artifact

RANK_LOCAL_ARGUMENTS = ("interactions", "items", "out", "threads", "run")
"""Arguments that may differ between ranks, as paths do; the contents of the log are compared after reading."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_log_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the artifact")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing artifact in --out")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run from its last checkpoint")
    parser.add_argument("--items", type=Path, metavar="FILE", help="titles and categories of items")
    add_model_arguments(parser)
    _add_training_arguments(parser)


def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    training = parser.add_argument_group("training")
    defaults = TrainingOptions()
    training.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to train (default: %(default)s)"
    )
    training.add_argument(
        "--threads", type=non_negative_int, default=0, metavar="N", help="CPU threads; 0 = chosen by torch (default)"
    )
    training.add_argument(
        "--rank-wait",
        type=positive_float,
        default=600.0,
        metavar="S",
        help="longest wait for another rank, in seconds; ranks are started by torchrun (default: 600)",
    )
    training.add_argument(
        "--epochs",
        type=positive_int,
        default=defaults.epochs,
        metavar="N",
        help="maximum number of epochs (default: %(default)s)",
    )
    training.add_argument(
        "--max-minutes",
        type=positive_float,
        metavar="MIN",
        help="stop training after this time, then evaluate and export (default: no limit)",
    )
    training.add_argument(
        "--patience",
        type=positive_int,
        default=defaults.patience,
        metavar="N",
        help="stop after N epochs without a better NDCG@10 (default: %(default)s)",
    )
    training.add_argument(
        "--schedule",
        choices=["plateau", "linear"],
        default=defaults.schedule,
        help="learning rate: halve it when NDCG@10 stops improving, or decay it linearly at the end of --epochs or "
        "--max-minutes (default: %(default)s)",
    )
    training.add_argument("--seed", type=int, default=defaults.seed, help="random seed (default: %(default)s)")
    training.add_argument(
        "--learning-rate",
        type=positive_float,
        default=defaults.learning_rate,
        metavar="R",
        help="initial learning rate (default: %(default)s)",
    )
    training.add_argument(
        "--batch-cells",
        type=positive_int,
        default=defaults.batch_cells,
        metavar="N",
        help="padded batch size, users × positions (default: %(default)s)",
    )
    training.add_argument(
        "--loss",
        choices=LOSSES,
        default=defaults.loss,
        help="softmax cross entropy, or gBCE with uniform negatives (default: %(default)s)",
    )
    training.add_argument(
        "--calibration",
        type=fraction,
        default=defaults.calibration,
        metavar="T",
        help="calibration t of gBCE, 0 to 1 (default: %(default)s)",
    )
    training.add_argument(
        "--negatives",
        type=non_negative_int,
        metavar="N",
        help="negatives per batch; 0 = full softmax (default: by catalogue size)",
    )
    training.add_argument(
        "--keep-seen", action="store_true", help="do not filter seen items during evaluation, for logs with repeats"
    )
    training.add_argument(
        "--min-item-events",
        type=non_negative_int,
        default=5,
        metavar="N",
        help="drop items with fewer events (default: %(default)s)",
    )
    add_split_arguments(training)


def run(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options = _build_options(arguments)
    device = select_rank_device(choose_device(arguments.device))
    with join_ranks(device, arguments.rank_wait) as ranks:
        return _train(arguments, options, device, ranks)


def _train(arguments: argparse.Namespace, options: TrainingOptions, device: torch.device, ranks: Ranks) -> int:
    started_at = time.monotonic()
    shared = sorted((name, value) for name, value in vars(arguments).items() if name not in RANK_LOCAL_ARGUMENTS)
    ranks.assert_equal_across_ranks("options", str(shared))
    log = read_log(arguments)
    items = None if arguments.items is None else read_items(arguments.items)
    moment_ms = choose_moment(arguments, log.events)
    dataset = prepare_dataset(log.events, items, min_item_events=arguments.min_item_events, moment_ms=moment_ms)
    sizes = {"events": len(dataset.items), "users": dataset.num_users, "items": dataset.catalogue.num_items}
    print(", ".join(f"{count:,} {name}" for name, count in sizes.items()), file=sys.stderr)
    advice = advise(dataset, options, preset(arguments.preset).max_len)
    config = build_model_config(arguments, advice.apply_to(preset(arguments.preset)))
    if config.encoder.name != "none":
        print("\n".join(advice.reasons), file=sys.stderr)
    context = RunContext(device, arguments.out, ranks, resume=arguments.resume)
    trained = train_artifact(dataset, config, options, context, overwrite=arguments.overwrite)
    print(f"test, {trained.test.num_cases:,} users:\n{format_metrics_table(trained.test.values)}")
    assessment = trained.assessment
    if assessment.comparison is not None:
        print(f"against baselines, {assessment.comparison.format_table()}")
    for warning in assessment.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"artifact {trained.version} in {arguments.out}")
    result = {
        "artifact": str(arguments.out),
        "version": trained.version,
        "preset": config.preset,
        **trained.test.values,
        "valid_ndcg@10": None if trained.best is None else trained.best.ndcg,
        "epochs": len(trained.curve),
        "seconds": round(time.monotonic() - started_at, 1),
        "bytes": trained.bytes_by_part,
        "bad_rows": log.report.bad_rows,
        **sizes,
        **describe_split(dataset),
        **assessment.to_json(),
    }
    print(json.dumps(result))
    return 0


def _build_options(arguments: argparse.Namespace) -> TrainingOptions:
    names = ["epochs", "max_minutes", "patience", "seed", "learning_rate", "batch_cells"]
    names += ["schedule", "loss", "calibration", "keep_seen"]
    return TrainingOptions(**{name: getattr(arguments, name) for name in names}, num_negatives=arguments.negatives)
