"""`nextup train`: read a log, train a model, evaluate it and write an artifact.

Started by torchrun, it is one of several ranks (docs/training/distributed.md).
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import polars as pl
import torch

from app.cli.event_types import TypeRules, apply_type_options
from app.cli.live_source import read_item_source
from app.cli.log_files import MIN_ITEM_EVENTS_OPTION, Log, read_log
from app.cli.split_arguments import choose_moment, describe_split
from app.commands.model_arguments import build_model_config
from app.commands.options.train import TrainOptions
from app.history_types import MANIFEST_ENTRY
from models.config import ModelConfig
from models.data.attribute_features import format_attributes
from models.data.dataset import Dataset, choose_min_item_events, prepare_dataset
from models.data.item_attributes import list_names
from models.data.splits import count_training_targets
from models.device import choose_device
from models.evaluation.metrics import drop_nan
from models.evaluation.report import format_metrics_table
from models.manifest import MANIFEST
from models.presets import preset
from models.ranks import Ranks
from models.training.advice import advise
from models.training.choices import PLANNABLE
from models.training.launch import join_ranks, select_rank_device
from models.training.options import CLOCKS, RunContext, TrainingOptions
from models.training.pipeline import TRAINING_FOLDER, TrainingResult, train_artifact
from models.training.run_record import find_other_option, write_run_record

NO_PAIRS = (
    "{} learns from the order of events, and no user has two events in the training part; training popular instead"
)
FALLBACK_PRESET = "popular"
NEW_ITEMS_RULE = "--split time (items without an event before the moment)"
RANK_LOCAL_ARGUMENTS = ("interactions", "items", "out", "threads", "started_at")
"""Arguments that may differ between ranks, as paths do; the contents of the log are compared after reading."""
RECORDED_ARGUMENTS = (
    *("preset", "embedding", "encoder", "head", "option", "dim", "intervals", "seed", "loss", "split"),
    *("event_types", "history_types", "target_type", "attributes"),
)
"""Arguments that a resumed run must repeat and that do not depend on the log."""


def run(arguments: TrainOptions) -> int:
    if arguments.clock == "cpu" and arguments.threads != 1:
        raise ValueError(f"--clock cpu requires --threads 1 (got {arguments.threads})")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options = _build_options(arguments)
    device = select_rank_device(choose_device(arguments.device))
    with join_ranks(device, arguments.rank_wait) as ranks:
        return _train(arguments, options, device, ranks)


def _train(arguments: TrainOptions, options: TrainingOptions, device: torch.device, ranks: Ranks) -> int:
    clock = CLOCKS[arguments.clock]
    started_at = clock() if arguments.clock == "cpu" else arguments.started_at  # of the command, before its imports
    shared = sorted((name, value) for name, value in vars(arguments).items() if name not in RANK_LOCAL_ARGUMENTS)
    ranks.assert_equal_across_ranks("options", str(shared))
    _check_folder(arguments, ranks)
    log, dataset, types = _read_dataset(arguments, ranks)
    config = _choose_config(arguments, dataset, options)
    if ranks.is_first:  # not before: a log that cannot be read leaves no folder behind
        write_run_record(arguments.out / TRAINING_FOLDER, get_recorded_options(arguments))
    context = RunContext(
        device,
        arguments.out,
        ranks,
        resume=arguments.resume,
        clock=clock,
        started_at=started_at,
        planned=_list_planned_options(arguments),
    )
    record = {MANIFEST_ENTRY: types.to_json()}
    trained = train_artifact(
        dataset, config, options, context, overwrite=arguments.overwrite, details=record, funnel=log.funnel
    )
    _print_result(trained, arguments.out, types.events.target)
    result = {
        "artifact": str(arguments.out),
        "preset": config.preset,
        "seconds": round(context.clock() - context.started_at, 1),
        "clock": arguments.clock,
        **_list_figures(trained),
        **log.to_json(),
        **_count_sizes(dataset),
        **describe_split(dataset),
        **record,
        **trained.assessment.to_json(),
    }
    print(json.dumps(result))
    return 0


def _read_dataset(arguments: TrainOptions, ranks: Ranks) -> tuple[Log, Dataset, TypeRules]:
    source = read_item_source(arguments.items, arguments, arguments.attributes, ranks)
    items = None if source is None else source.items
    log = read_log(arguments)
    if source is not None:
        log.report_items(source.name, source.items, source.noun, source.advice)
    types = apply_type_options(log, arguments)
    moment_ms = choose_moment(arguments, log.events)
    least = arguments.min_item_events
    least = choose_min_item_events(log.events.height) if least is None else least
    dataset = prepare_dataset(log.events, items, min_item_events=least, moment_ms=moment_ms)
    _report_dropped_items(log, dataset, least)
    print(", ".join(f"{count:,} {name}" for name, count in _count_sizes(dataset).items()), file=sys.stderr)
    if items is not None and (names := list_names(items)):
        print(format_attributes(dataset.catalogue.attributes, names), file=sys.stderr)
    return log, dataset, types


def _report_dropped_items(log: Log, dataset: Dataset, least: int) -> None:
    """Note events of items that are too new for the training, then those of items that are too rare."""
    kept, split = set(dataset.catalogue.item_ids), dataset.time_split
    if split is not None:
        past_items = set(log.events.filter(pl.col("timestamp") < split.moment_ms)["item_id"].unique())
        log.report_dropped_items(past_items, NEW_ITEMS_RULE)
        kept |= set(log.events["item_id"].unique()) - past_items
    log.report_dropped_items(kept, f"--min-item-events {least}", MIN_ITEM_EVENTS_OPTION)


def _count_sizes(dataset: Dataset) -> dict[str, int]:
    return {"events": len(dataset.items), "users": dataset.num_users, "items": dataset.catalogue.num_items}


def _choose_config(arguments: TrainOptions, dataset: Dataset, options: TrainingOptions) -> ModelConfig:
    """The model that the arguments select, with sizes that suit the log; popularity for a log without an order."""
    base = preset(arguments.preset)
    advice = advise(dataset, options, base.max_len)
    config = build_model_config(arguments, advice.apply_to(base))
    if config.encoder.name != "none" and not count_training_targets(dataset):
        print(f"warning: {NO_PAIRS.format(config.preset)}", file=sys.stderr)
        return preset(FALLBACK_PRESET)
    if config.encoder.name != "none":
        print("\n".join(advice.list_reasons(config)), file=sys.stderr)
    return config


def _print_result(trained: TrainingResult, out: Path, target_type: str | None) -> None:
    target = "" if target_type is None else f", last event of the type {target_type!r}"
    print(f"{_describe_test(trained)}{target}:\n{format_metrics_table(trained.test.values)}")
    assessment = trained.assessment
    if assessment.comparison is not None:
        print(f"against baselines, {assessment.comparison.format_table()}")
    for warning in assessment.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"artifact {trained.version} in {out}")


def _list_figures(trained: TrainingResult) -> dict[str, Any]:
    """Entries of the JSON result that describe the training and its test."""
    return {
        "version": trained.version,
        **drop_nan(trained.test.values),
        "valid_ndcg@10": None if trained.best is None or math.isnan(trained.best.ndcg) else trained.best.ndcg,
        "test_users": trained.test.num_cases,
        "test_is_sample": trained.test.num_cases < trained.num_test_users,
        "epochs": trained.curve[-1].epoch if trained.curve else 0,
        "plan": trained.plan.to_json(),
        "bytes": trained.bytes_by_part,
    }


def _check_folder(arguments: TrainOptions, ranks: Ranks) -> None:
    """ValueError on every rank, before the log is read, if the first rank's folder cannot take this run."""
    problem = ranks.broadcast_object(_find_problem(arguments) if ranks.is_first else None)
    if problem is not None:
        raise ValueError(problem)


def _find_problem(arguments: TrainOptions) -> str | None:
    """Describe why the folder cannot take this run; None if it can."""
    if (arguments.out / MANIFEST).exists() and not arguments.overwrite:
        return f"{arguments.out} already holds an artifact; choose another folder or pass --overwrite"
    if arguments.resume:
        return find_other_option(arguments.out / TRAINING_FOLDER, get_recorded_options(arguments))
    return None


def get_recorded_options(arguments: TrainOptions) -> dict[str, Any]:
    """Return the options that a resumed run must repeat."""
    return {name: getattr(arguments, name) for name in RECORDED_ARGUMENTS}


def _build_options(arguments: TrainOptions) -> TrainingOptions:
    names = ["max_minutes", "patience", "seed", "loss", "calibration", "keep_seen", "category_vectors"]
    values = {name: getattr(arguments, name) for name in names}
    values |= {name: value for name, value in _get_plannable(arguments).items() if value is not None}
    return TrainingOptions(**values)


def _get_plannable(arguments: TrainOptions) -> dict[str, Any]:
    """Options that a run with a time limit chooses by measurement where they are None."""
    names = {name: "negatives" if name == "num_negatives" else name for name in PLANNABLE}
    return {name: getattr(arguments, argument) for name, argument in names.items()}


def _list_planned_options(arguments: TrainOptions) -> frozenset[str]:
    planned = {name for name, value in _get_plannable(arguments).items() if value is None}
    return frozenset(planned | (set() if arguments.threads else {"threads"}))


def _describe_test(trained: TrainingResult) -> str:
    if trained.test.num_cases == trained.num_test_users:
        return f"test, {trained.num_test_users:,} users"
    return f"test, an evenly spaced sample of {trained.test.num_cases:,} of {trained.num_test_users:,} users"
