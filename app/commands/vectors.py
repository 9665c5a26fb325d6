"""`nextup vectors`: item and user vectors as Parquet; the inner product of a user and an item is the model's score.

Scores of a transition memory and exclusions of seen items come on top of it in the service.
"""

import json
from collections.abc import Iterator

import polars as pl
import torch

from app.cli.event_types import apply_recorded_types
from app.cli.log_files import read_log
from app.commands.options.vectors import VectorsOptions
from models.artifact import Artifact, load_artifact
from models.data.dataset import encode
from models.progress import progress
from models.scorers.vectors import ItemVectors, get_item_vectors

ITEMS_PER_BATCH, USERS_PER_BATCH = 65_536, 256


def run(arguments: VectorsOptions) -> int:
    artifact = load_artifact(arguments.artifact, device="cpu")
    vectors = get_item_vectors(artifact.predictor.model)
    if vectors is None:
        raise ValueError(
            f"scores of {artifact.preset} are not inner products of vectors; train one with a tied or dense head, "
            "such as blossom or sasrec"
        )
    frames = list(_iter_items(artifact, vectors))
    num_items = artifact.catalogue.num_items
    if arguments.interactions:
        frames += _iter_users(arguments, artifact, vectors)
    table = pl.concat(frames)
    table.write_parquet(arguments.out)
    num_users = len(table) - num_items
    print(f"{num_items:,} item and {num_users:,} user vectors of width {vectors.width} in {arguments.out}")
    result = {"out": str(arguments.out), "version": artifact.version, "width": vectors.width}
    print(json.dumps(result | {"items": num_items, "users": num_users}))
    return 0


def _iter_items(artifact: Artifact, vectors: ItemVectors) -> Iterator[pl.DataFrame]:
    """Yield item vectors in catalogue order, by falling popularity."""
    ids = list(artifact.catalogue.item_ids)
    for start in range(0, len(ids), ITEMS_PER_BATCH):
        batch = ids[start : start + ITEMS_PER_BATCH]
        with torch.inference_mode():
            rows = vectors.get_rows(torch.arange(start + 1, start + 1 + len(batch)))
        yield _build_table("item", batch, rows)


def _iter_users(arguments: VectorsOptions, artifact: Artifact, vectors: ItemVectors) -> Iterator[pl.DataFrame]:
    """Yield the vector after the last event of each user who has an item of the catalogue.

    Histories are those of a service: known items, and events of the types that entered those of the training.
    """
    log, predictor = read_log(arguments), artifact.predictor
    apply_recorded_types(log, artifact.manifest)
    dataset = encode(log.events, artifact.catalogue, with_unknown_targets=False)
    with progress("vectors", dataset.num_users, "users") as bar:
        for start in range(0, dataset.num_users, USERS_PER_BATCH):
            users = range(start, min(start + USERS_PER_BATCH, dataset.num_users))
            times = [dataset.history_times(user) for user in users] if predictor.reads_times else None
            with torch.inference_mode():
                hidden = predictor.runner.encode([dataset.history(user) for user in users], times).hidden
                queries = vectors.to_query(hidden)
            yield _build_table("user", [dataset.user_ids[user] for user in users], queries)
            bar.advance(len(users))


def _build_table(kind: str, ids: list[str], rows: torch.Tensor) -> pl.DataFrame:
    vectors = pl.Series("vector", rows.float().cpu().numpy(), dtype=pl.Array(pl.Float32, rows.shape[1]))
    return pl.DataFrame({"kind": pl.repeat(kind, len(ids), eager=True), "id": ids, "vector": vectors})
