"""`nextup extend`: an artifact that knows items which came after its training, without training again."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl

from app.cli.log_files import add_log_arguments, read_log
from models.artifact import MANIFEST, load_artifact, save_artifact
from models.catalogue.catalogue import Catalogue
from models.cold_start import NewItem, find_neighbours, with_new_items
from models.data.dataset import encode
from models.data.items import read_items
from models.golden import NUM_GOLDEN_HISTORIES


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, metavar="ARTIFACT", help="folder of the artifact")
    add_log_arguments(parser)
    parser.add_argument(
        "--items", type=Path, metavar="FILE", help="titles and categories, also of items without events"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the extended artifact")
    parser.add_argument("--overwrite", action="store_true", help="replace the artifact that is in the folder")


def run(arguments: argparse.Namespace) -> int:
    if (arguments.out / MANIFEST).exists() and not arguments.overwrite:
        raise ValueError(f"{arguments.out} already holds an artifact: choose another folder, or say --overwrite")
    old = load_artifact(arguments.artifact, device="cpu")
    log = read_log(arguments)
    described = _described(log.events, arguments.items)
    new = described.filter(~pl.col("item_id").is_in(old.catalogue.item_ids))
    if new.is_empty():
        raise ValueError(f"{arguments.artifact} knows every item already: there is nothing to add")
    everything = _extended(old.catalogue, new)
    histories = _histories(log.events, everything)
    found = find_neighbours(histories, old.catalogue, new["item_id"].to_list(), new["categories"].to_list())
    if not found:
        raise ValueError(f"none of {len(new):,} new items has known items around its events, or in its categories")
    placed = new.join(pl.DataFrame({"item_id": [item.item_id for item in found]}), on="item_id", maintain_order="left")
    catalogue = _extended(old.catalogue, placed)
    model = with_new_items(old.predictor.model, [item.neighbours for item in found])
    rows = np.linspace(0, len(histories) - 1, min(NUM_GOLDEN_HISTORIES, len(histories))).astype(int)
    golden = [known for row in rows if len(known := histories[row][histories[row] <= old.catalogue.num_items])]
    version = save_artifact(arguments.out, model, catalogue, golden_histories=golden, metrics=old.manifest["figures"])
    _tell(found, len(new), version, arguments.out)
    return 0


def _described(events: pl.DataFrame, items: Path | None) -> pl.DataFrame:
    """item_id, title, categories: of the items file, then of items that only the log has."""
    seen = events.select("item_id").unique(maintain_order=True)
    no_names = pl.lit([], dtype=pl.List(pl.String))
    if items is None:
        return seen.with_columns(title=pl.lit(None, dtype=pl.String), categories=no_names)
    described = read_items(items).select("item_id", "title", "categories")
    return pl.concat(
        [
            described,
            seen.join(described, on="item_id", how="anti").with_columns(
                title=pl.lit(None, dtype=pl.String), categories=no_names
            ),
        ]
    )


def _extended(known: Catalogue, new: pl.DataFrame) -> Catalogue:
    """New items stand last: no event of theirs was trained on, so their count is 0."""
    names = [categories or [] for categories in new["categories"].to_list()]
    return Catalogue(
        [*known.item_ids, *new["item_id"].to_list()],
        np.concatenate((known.counts, np.zeros(len(new), dtype=np.int64))),
        [*known.titles, *new["title"].to_list()],
        [*known.categories, *names],
    )


def _histories(events: pl.DataFrame, catalogue: Catalogue) -> list["np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    dataset = encode(events, catalogue)
    return [dataset.history(user) for user in range(dataset.num_users)]


def _tell(found: list[NewItem], asked: int, version: str, out: Path) -> None:
    by_events = sum(item.source == "events" for item in found)
    left = asked - len(found)
    print(f"{by_events:,} items placed by their events, {len(found) - by_events:,} by categories, {left:,} left out")
    if left:
        print("left out: no known item is near their events or in their categories", file=sys.stderr)
    print(f"artifact {version} in {out}")
    result = {"artifact": str(out), "version": version, "by_events": by_events}
    print(json.dumps(result | {"by_categories": len(found) - by_events, "left_out": left}))
