"""`nextup train`: read a log, train a model, evaluate it and write an artifact.

Started by torchrun, it is one of several ranks (docs/training/distributed.md).
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

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
from models.training.choices import PLANNABLE
from models.training.launch import join_ranks, select_rank_device
from models.training.options import LOSSES, RunContext, TrainingOptions
from models.training.pipeline import TrainingResult, train_artifact

RANK_LOCAL_ARGUMENTS = ("interactions", "items", "out", "threads", "run", "started_at")
"""Arguments that may differ between ranks, as paths do; the contents of the log are compared after reading."""
DEFAULT_OR_PLAN = "default: {}, or measured with --max-minutes"


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
        "--threads",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="CPU threads; 0 = measured with --max-minutes, else chosen by torch (default)",
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
        metavar="N",
        help=f"maximum number of epochs ({DEFAULT_OR_PLAN.format(defaults.epochs)})",
    )
    training.add_argument(
        "--max-minutes",
        type=positive_float,
        metavar="MIN",
        help="time for the whole run: reading, training, evaluation and export; options that are not set are then "
        "chosen by measurement (default: no limit)",
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
        help="learning rate: halve it when NDCG@10 stops improving, or decay it linearly at the end of --epochs or "
        f"--max-minutes ({DEFAULT_OR_PLAN.format(defaults.schedule)})",
    )
    training.add_argument("--seed", type=int, default=defaults.seed, help="random seed (default: %(default)s)")
    training.add_argument(
        "--learning-rate",
        type=positive_float,
        metavar="R",
        help=f"initial learning rate ({DEFAULT_OR_PLAN.format(defaults.learning_rate)})",
    )
    training.add_argument(
        "--batch-cells",
        type=positive_int,
        metavar="N",
        help=f"padded batch size, users × positions ({DEFAULT_OR_PLAN.format(defaults.batch_cells)})",
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
        help=f"negatives per batch; 0 = full softmax ({DEFAULT_OR_PLAN.format('by catalogue size')})",
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
    context = RunContext(
        device,
        arguments.out,
        ranks,
        resume=arguments.resume,
        started_at=arguments.started_at,
        planned=_list_planned_options(arguments),
    )
    trained = train_artifact(dataset, config, options, context, overwrite=arguments.overwrite)
    print(f"{_describe_test(trained)}:\n{format_metrics_table(trained.test.values)}")
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
        "test_users": trained.test.num_cases,
        "test_is_sample": trained.test.num_cases < trained.num_test_users,
        "epochs": trained.curve[-1].epoch if trained.curve else 0,
        "seconds": round(time.monotonic() - arguments.started_at, 1),
        "plan": trained.plan.to_json(),
        "bytes": trained.bytes_by_part,
        "bad_rows": log.report.bad_rows,
        **sizes,
        **describe_split(dataset),
        **assessment.to_json(),
    }
    print(json.dumps(result))
    return 0


def _build_options(arguments: argparse.Namespace) -> TrainingOptions:
    names = ["max_minutes", "patience", "seed", "loss", "calibration", "keep_seen"]
    values = {name: getattr(arguments, name) for name in names}
    values |= {name: value for name, value in _get_plannable(arguments).items() if value is not None}
    return TrainingOptions(**values)


def _get_plannable(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options that a run with a time limit chooses by measurement where they are None."""
    names = {name: "negatives" if name == "num_negatives" else name for name in PLANNABLE}
    return {name: getattr(arguments, argument) for name, argument in names.items()}


def _list_planned_options(arguments: argparse.Namespace) -> frozenset[str]:
    planned = {name for name, value in _get_plannable(arguments).items() if value is None}
    return frozenset(planned | (set() if arguments.threads else {"threads"}))


def _describe_test(trained: TrainingResult) -> str:
    if trained.test.num_cases == trained.num_test_users:
        return f"test, {trained.num_test_users:,} users"
    return f"test, an evenly spaced sample of {trained.test.num_cases:,} of {trained.num_test_users:,} users"
