"""`nextup train`: read, prepare, train, evaluate, export. What the steps do is in models/.

Started by torchrun it is one of several ranks (docs/scale-training.md).
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from app.cli.log_files import add_log_arguments, read_log
from app.commands.model_arguments import add_model_arguments, model_of
from models.data.dataset import prepare_dataset
from models.data.items import read_items
from models.device import choose_device
from models.evaluation.report import format_metrics_table
from models.presets import preset
from models.ranks import Ranks
from models.training.advice import advise
from models.training.launch import join_ranks, select_rank_device
from models.training.options import LOSSES, TrainingOptions
from models.training.pipeline import train_artifact

OWN = ("interactions", "items", "out", "threads", "run")
"""What may differ from rank to rank, as machines do; what is in the log is compared once it is read."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_log_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the artifact")
    parser.add_argument("--overwrite", action="store_true", help="replace the artifact that is in the folder")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--items", type=Path, metavar="FILE", help="titles and categories of items")
    add_model_arguments(parser)
    training = parser.add_argument_group("the training")
    defaults = TrainingOptions()
    training.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    training.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves it to torch")
    training.add_argument(
        "--rank-wait",
        type=float,
        default=600.0,
        metavar="S",
        help="longest wait of a rank for another; ranks are started by torchrun",
    )
    training.add_argument("--epochs", type=int, default=defaults.epochs, help="at most this many")
    training.add_argument("--max-minutes", type=float, help="stop training after this time, then evaluate and export")
    training.add_argument("--patience", type=int, default=defaults.patience, help="epochs without a better NDCG@10")
    training.add_argument(
        "--schedule",
        choices=["plateau", "linear"],
        default=defaults.schedule,
        help="halve the rate where nothing improves, or let it fall towards the end of --epochs or --max-minutes",
    )
    training.add_argument("--seed", type=int, default=defaults.seed)
    training.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    training.add_argument("--batch-cells", type=int, default=defaults.batch_cells, help="users × positions of a batch")
    training.add_argument("--loss", choices=LOSSES, default=defaults.loss, help="gbce: against uniform negatives")
    training.add_argument("--calibration", type=float, default=defaults.calibration, help="t of gbce, 0 to 1")
    training.add_argument("--negatives", type=int, help="negatives per batch; 0 = the full softmax; default by size")
    training.add_argument("--keep-seen", action="store_true", help="judge by answers that may repeat the user's items")
    training.add_argument("--min-item-events", type=int, default=5, help="items with fewer events are dropped")


def run(arguments: argparse.Namespace) -> int:
    if arguments.rank_wait <= 0:
        raise ValueError(f"--rank-wait must be above 0, not {arguments.rank_wait:g}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options = _options(arguments)
    device = select_rank_device(choose_device(arguments.device))
    with join_ranks(device, arguments.rank_wait) as ranks:
        return _train(arguments, options, device, ranks)


def _train(arguments: argparse.Namespace, options: TrainingOptions, device: torch.device, ranks: Ranks) -> int:
    began = time.monotonic()
    ranks.assert_equal_across_ranks("options", str(sorted((n, v) for n, v in vars(arguments).items() if n not in OWN)))
    log = read_log(arguments)
    items = None if arguments.items is None else read_items(arguments.items)
    dataset = prepare_dataset(log.events, items, min_item_events=arguments.min_item_events)
    sizes = {"events": len(dataset.items), "users": dataset.num_users, "items": dataset.catalogue.num_items}
    print(", ".join(f"{count:,} {name}" for name, count in sizes.items()), file=sys.stderr)
    advice = advise(dataset, options, preset(arguments.preset).max_len)
    config = model_of(arguments, advice.apply_to(preset(arguments.preset)))
    if config.encoder.name != "none":
        print("\n".join(advice.reasons), file=sys.stderr)
    trained = train_artifact(
        dataset,
        config,
        options,
        device,
        arguments.out,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        ranks=ranks,
    )
    print(f"test, {trained.test.num_cases:,} users:\n{format_metrics_table(trained.test.values)}")
    print(f"artifact {trained.version} in {arguments.out}")
    result = {
        "artifact": str(arguments.out),
        "version": trained.version,
        "preset": config.preset,
        **trained.test.values,
        "valid_ndcg@10": None if trained.best is None else trained.best.ndcg,
        "epochs": len(trained.curve),
        "seconds": round(time.monotonic() - began, 1),
        "bytes": trained.bytes_by_part,
        "bad_rows": log.report.bad_rows,
        **sizes,
    }
    print(json.dumps(result))
    return 0


def _options(arguments: argparse.Namespace) -> TrainingOptions:
    names = ["epochs", "max_minutes", "patience", "seed", "learning_rate", "batch_cells"]
    names += ["schedule", "loss", "calibration", "keep_seen"]
    return TrainingOptions(**{name: getattr(arguments, name) for name in names}, num_negatives=arguments.negatives)
