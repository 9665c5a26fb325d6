"""`nextup extend`: add items to a trained artifact and count its transitions again, without retraining it."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import polars as pl

from app.cli.event_types import apply_recorded_types
from app.cli.log_files import read_item_file, read_log
from app.commands.options.extend import ExtendOptions
from app.history_types import MANIFEST_ENTRY
from models.artifact import load_artifact, save_artifact
from models.cold_start import (
    NewItem,
    extend_catalogue,
    find_neighbours,
    list_new_items,
    select_golden_histories,
    with_new_items,
    with_recounted_transitions,
)
from models.data.dataset import encode
from models.data.splits import list_known_histories, select_known_weights
from models.manifest import MANIFEST

KEPT_ENTRIES = ("verdict", "split", MANIFEST_ENTRY)
"""Entries of the manifest that the extended artifact keeps."""


def run(arguments: ExtendOptions) -> int:
    if (arguments.out / MANIFEST).exists() and not arguments.overwrite:
        raise ValueError(f"{arguments.out} already holds an artifact; choose another folder, or pass --overwrite")
    if arguments.no_new_items and not arguments.recount:
        raise ValueError("--no-new-items leaves nothing to do; add --recount, or leave it out")
    artifact = load_artifact(arguments.artifact, device="cpu")
    model, catalogue = artifact.predictor.model, artifact.catalogue
    items = read_item_file(arguments.items, arguments, None if catalogue.attributes.has_features else ())
    is_recounted = arguments.recount and model.transitions is not None
    if arguments.recount and not is_recounted:
        print(f"warning: {arguments.artifact} has no transition memory; --recount counts nothing", file=sys.stderr)
    log = read_log(arguments)
    apply_recorded_types(log, artifact.manifest)
    log.report_items(arguments.items, items)
    new_items = list_new_items(catalogue, log.events, items)
    if arguments.no_new_items:
        new_items = new_items.clear()
    if new_items.is_empty() and not arguments.recount:
        raise ValueError(
            f"{arguments.artifact} already contains every item; there is nothing to add. With --recount its transition "
            "memory is counted again"
        )
    placed: list[NewItem] = []
    if not new_items.is_empty():
        histories = list_known_histories(encode(log.events, extend_catalogue(catalogue, new_items)))
        placed = find_neighbours(histories, catalogue, artifact.predictor, new_items)
    if not placed and not arguments.recount:
        raise ValueError(
            f"none of {len(new_items):,} new items occurs near known items or shares a category or an "
            "attribute with them; add events, categories or attributes (--items)"
        )
    extended = extend_catalogue(catalogue, new_items.filter(pl.col("item_id").is_in([item.item_id for item in placed])))
    dataset = encode(log.events, extended)
    histories = list_known_histories(dataset)
    if placed:
        model = with_new_items(model, [item.neighbours for item in placed])
    if is_recounted:
        model = with_recounted_transitions(model, histories, select_known_weights(dataset))
    version = save_artifact(
        arguments.out,
        model,
        extended,
        golden_histories=select_golden_histories(histories, catalogue.num_items, artifact.golden_histories),
        metrics=artifact.manifest["figures"],
        details={name: artifact.manifest[name] for name in KEPT_ENTRIES if name in artifact.manifest},
    )
    result = _report(placed, len(new_items), version, arguments, is_recounted=is_recounted)
    print(json.dumps(result | log.to_json()))
    return 0


def _report(
    placed: Sequence[NewItem], num_new: int, version: str, arguments: ExtendOptions, *, is_recounted: bool
) -> dict[str, Any]:
    by_events = sum(item.source == "events" for item in placed)
    by_features, left_out = len(placed) - by_events, num_new - len(placed)
    print(
        f"{by_events:,} items placed by their events, {by_features:,} by their categories and attributes, "
        f"{left_out:,} left out"
    )
    if left_out:
        print(
            "left out: items without known items near their events, in their categories or with their attributes",
            file=sys.stderr,
        )
    if is_recounted:
        print("transition memory counted again")
    print(f"artifact {version} in {arguments.out}")
    result = {
        "artifact": str(arguments.out),
        "version": version,
        "by_events": by_events,
        "by_categories": by_features,
    }
    return result | {"left_out": left_out, "recounted": is_recounted}
