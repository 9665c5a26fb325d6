"""`nextup extend`: add items to a trained artifact and count its transitions again, without retraining it."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import polars as pl

from app.cli.log_files import read_item_file, read_log
from app.commands.options.extend import ExtendOptions
from models.artifact import MANIFEST, load_artifact, save_artifact
from models.batch import History
from models.catalogue.catalogue import Catalogue
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


def run(arguments: ExtendOptions) -> int:
    if (arguments.out / MANIFEST).exists() and not arguments.overwrite:
        raise ValueError(f"{arguments.out} already holds an artifact; choose another folder, or pass --overwrite")
    if arguments.no_new_items and not arguments.recount:
        raise ValueError("--no-new-items leaves nothing to do; add --recount, or leave it out")
    items = read_item_file(arguments.items, arguments)
    artifact = load_artifact(arguments.artifact, device="cpu")
    model, catalogue = artifact.predictor.model, artifact.catalogue
    log = read_log(arguments)
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
        histories = _list_histories(log.events, extend_catalogue(catalogue, new_items))
        new_ids, categories = new_items["item_id"].to_list(), new_items["categories"].to_list()
        placed = find_neighbours(histories, catalogue, new_ids, categories)
    if not placed and not arguments.recount:
        raise ValueError(
            f"none of {len(new_items):,} new items occurs near known items or shares a category with them; "
            "add events or categories (--items)"
        )
    extended = extend_catalogue(catalogue, new_items.filter(pl.col("item_id").is_in([item.item_id for item in placed])))
    histories = _list_histories(log.events, extended)
    if placed:
        model = with_new_items(model, [item.neighbours for item in placed])
    if arguments.recount:
        model = with_recounted_transitions(model, histories)
    version = save_artifact(
        arguments.out,
        model,
        extended,
        golden_histories=select_golden_histories(histories, catalogue.num_items),
        metrics=artifact.manifest["figures"],
        details={name: artifact.manifest[name] for name in ("verdict", "split") if name in artifact.manifest},
    )
    result = _report(placed, len(new_items), version, arguments)
    print(json.dumps(result | log.to_json()))
    return 0


def _list_histories(events: pl.DataFrame, catalogue: Catalogue) -> list[History]:
    dataset = encode(events, catalogue)
    return [dataset.known_history(user) for user in range(dataset.num_users)]


def _report(placed: Sequence[NewItem], num_new: int, version: str, arguments: ExtendOptions) -> dict[str, Any]:
    by_events = sum(item.source == "events" for item in placed)
    by_categories, left_out = len(placed) - by_events, num_new - len(placed)
    print(f"{by_events:,} items placed by their events, {by_categories:,} by their categories, {left_out:,} left out")
    if left_out:
        print("left out: items without known items near their events or in their categories", file=sys.stderr)
    if arguments.recount:
        print("transition memory counted again")
    print(f"artifact {version} in {arguments.out}")
    result = {
        "artifact": str(arguments.out),
        "version": version,
        "by_events": by_events,
        "by_categories": by_categories,
    }
    return result | {"left_out": left_out, "recounted": arguments.recount}
