"""How often items that were hidden from the training are recommended when they are the true next item.

    python -m models.benchmarks.new_items LOG ITEMS --out FOLDER

Hides a share of the items, trains on the remaining log with `nextup train` (skipped if FOLDER has the model already),
places the hidden items by their categories, by their attributes (all other columns of ITEMS) as well, or by their first
events, and asks for the last event of every user. Targets
are counted in two groups: hidden items, of which a model alone finds none, and the items of the training, for what new
items cost them. How well hidden items are placed shows best where they compete with each other only, because the
length of a vector decides whether an item is in an answer at all. The last line is a JSON object, with figures by how
the items are placed.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch

from models.artifact import load_artifact
from models.batch import History
from models.catalogue.catalogue import Catalogue
from models.cold_start import NewItem, find_neighbours
from models.data.item_attributes import ATTRIBUTES
from models.data.items import read_items
from models.new_items import ExtendedPredictor, ItemNeighbours, PlacedItems, place_items
from models.predictor import Predictor

MAX_COOCCURRING, MIN_COOCCURRENCE, WINDOW = 5, 5.0, 3
"""As the service places items by events."""
NUM_EVENTS = {"categories": 0, "categories and attributes": 0, "10 events": 10, "100 events": 100}
"""Events of each hidden item by how it is placed."""
MAX_TRAINED_CASES = 2000
BATCH = 32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, help="interactions with user_id, item_id and timestamp, as Parquet")
    parser.add_argument(
        "items",
        type=Path,
        help="items with item_id, and genres or categories, as Parquet; other columns are attributes",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the training log and the model")
    parser.add_argument("--share", type=float, default=0.05, help="share of the items that is hidden")
    parser.add_argument("--minutes", type=float, default=6.0, help="time of the training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    items = pl.read_parquet(arguments.items).rename({"genres": "categories"}, strict=False)
    items = items.with_columns(pl.col("item_id").cast(pl.String))
    log = pl.read_parquet(arguments.log).with_columns(pl.col("item_id").cast(pl.String))
    log = log.sort("user_id", "timestamp", maintain_order=True)
    ids = log["item_id"].unique().sort()
    hidden = ids.sample(int(arguments.share * len(ids)), seed=0).to_list()
    _train(log.filter(~pl.col("item_id").is_in(hidden)), items, arguments.out, arguments.minutes)
    artifact = load_artifact(arguments.out / "model", device="cpu")
    described = read_items(arguments.out / "items.parquet", attributes=None).filter(pl.col("item_id").is_in(hidden))
    alone = described.drop(ATTRIBUTES)
    no_events: list[History] = [np.ones(1, dtype=np.int64)]
    by_features, by_categories = (
        {each.item_id: each for each in find_neighbours(no_events, artifact.catalogue, artifact.predictor, items)}
        for items in (described, alone)
    )
    new_ids = [item_id for item_id in hidden if item_id in by_features]
    histories = _encode(log, artifact.catalogue, new_ids)
    num_trained = artifact.catalogue.num_items
    figures = {}
    for name, num_events in NUM_EVENTS.items():
        sources = by_categories if name == "categories" else by_features
        cooccurring = _find_cooccurring(histories, num_trained, num_events)
        neighbours = [
            cooccurring.get(index) or _to_arrays(sources.get(item_id))
            for index, item_id in enumerate(new_ids, start=num_trained + 1)
        ]
        placed = place_items(artifact.predictor, neighbours)
        assert placed is not None, "the preset has inner products"
        figures[name] = _measure(artifact.predictor, placed, histories)
    print(json.dumps(figures))
    return 0


def _train(log: pl.DataFrame, items: pl.DataFrame, folder: Path, minutes: float) -> None:
    if (folder / "model").is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    log.write_parquet(folder / "train.parquet")
    items.write_parquet(folder / "items.parquet")
    paths = [str(folder / "train.parquet"), "--items", str(folder / "items.parquet"), "--out", str(folder / "model")]
    options = ["--preset", "sasrec", "--max-minutes", str(minutes)]
    command = [sys.executable, "-m", "app.commands.main", "train", *paths, *options]
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - our own arguments


def _to_arrays(item: NewItem | None) -> ItemNeighbours:
    """Return the neighbours of an item; the most popular item for one that has none, so that all are placed."""
    if item is None:
        return np.ones(1, dtype=np.int64), np.ones(1, dtype=np.float32)
    indices, weights = item.neighbours
    return indices.numpy(), weights.numpy()


def _find_cooccurring(histories: Sequence[History], num_trained: int, num_events: int) -> dict[int, ItemNeighbours]:
    """Find the strongest items before the first events of each new item, which are not the last ones of users."""
    counts: Counter[int] = Counter()
    weights: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for history in histories:
        for position in np.flatnonzero(history[:-1] > num_trained).tolist():
            item = int(history[position])
            if counts[item] < num_events:
                counts[item] += 1
                for distance, near in enumerate(history[max(0, position - WINDOW) : position][::-1].tolist(), start=1):
                    if near <= num_trained:
                        weights[item][near] += 1 / distance
    strongest = {item: sorted(near.items(), key=lambda pair: (-pair[1], pair[0])) for item, near in weights.items()}
    return {
        item: (
            np.array([index for index, _ in pairs[:MAX_COOCCURRING]], dtype=np.int64),
            np.array([weight for _, weight in pairs[:MAX_COOCCURRING]], dtype=np.float32),
        )
        for item, pairs in strongest.items()
        if sum(weights[item].values()) >= MIN_COOCCURRENCE
    }


def _encode(log: pl.DataFrame, catalogue: Catalogue, new_ids: Sequence[str]) -> list[History]:
    """Encode the events of each user; new items follow the catalogue, and other unknown ones are dropped."""
    indices = {item_id: index for index, item_id in enumerate([*catalogue.item_ids, *new_ids], start=1)}
    known = log.with_columns(index=pl.col("item_id").replace_strict(indices, default=None)).drop_nulls("index")
    groups = known.group_by("user_id", maintain_order=True).agg("index")["index"]
    return [np.array(group, dtype=np.int64) for group in groups.to_list() if len(group) > 1]


def _measure(predictor: Predictor, placed: PlacedItems, histories: Sequence[History]) -> dict[str, float]:
    num_trained = predictor.num_items
    trained_cases = [history for history in histories if history[-1] <= num_trained]
    trained_cases = trained_cases[:: max(1, len(trained_cases) // MAX_TRAINED_CASES)]
    alone = _rank(predictor, placed, trained_cases, with_new=False)
    together = _rank(predictor, placed, trained_cases, with_new=True)
    new_cases = [history for history in histories if history[-1] > num_trained]
    new = _rank(predictor, placed, new_cases, with_new=True)
    among = _rank(predictor, placed, new_cases, with_new=True, with_trained=False)
    targets = np.array([history[-1] for history in trained_cases])[:, None]
    new_targets = np.array([history[-1] for history in new_cases])[:, None]
    figures = {
        "new_items": float(len(placed)),
        "new_targets": float(len(new)),
        "share_of_targets": len(new_cases) / len(histories),
        "share_of_answered_items": float((together[:, :10] > num_trained).mean()),
    }
    figures["new_hr@10_among_new_items"] = float((among[:, :10] == new_targets).any(1).mean())
    for k in (10, 20):
        figures[f"new_hr@{k}"] = float((new[:, :k] == new_targets).any(1).mean())
        figures[f"trained_hr@{k}"] = float((together[:, :k] == targets).any(1).mean())
        figures[f"trained_hr@{k}_without_new_items"] = float((alone[:, :k] == targets).any(1).mean())
    return {name: round(value, 4) for name, value in figures.items()}


def _rank(
    predictor: Predictor,
    placed: PlacedItems,
    histories: Sequence[History],
    *,
    with_new: bool,
    with_trained: bool = True,
) -> History:
    """Rank 20 items after all events but the last of each history, with or without new items and those of the training.

    Histories of new items alone are read from their substitutes in either case.
    """
    num_trained = predictor.num_items
    extended = ExtendedPredictor(predictor, placed)
    mask = np.ones(extended.num_items + 1, dtype=bool)
    mask[: num_trained + 1] = with_trained
    mask[num_trained + 1 :] = with_new
    tops = []
    for start in range(0, len(histories), BATCH):
        part = [history[:-1] for history in histories[start : start + BATCH]]
        read = []
        for history in part:
            trained = history[history <= num_trained]
            substituted = np.where(
                history > num_trained, placed.substitutes[np.maximum(history - num_trained - 1, 0)], history
            )
            read.append(substituted if with_new or not len(trained) else trained)
        tops.append(extended.top_k(read, 20, excluded=part, allow_masks=[mask] * len(part)).indices)
    return np.concatenate(tops)


if __name__ == "__main__":
    sys.exit(main())
