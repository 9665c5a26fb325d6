"""Synthetic models have clustered items, and their index is built once."""

from pathlib import Path

import pytest
import torch

from models.artifact import load_artifact
from models.benchmarks.synthetic_artifact import (
    generate_events,
    make_log_config,
    make_synthetic_artifact,
    make_synthetic_catalogue,
    make_synthetic_index,
)
from models.benchmarks.synthetic_model import SHARED, compute_cluster_count, make_synthetic_model
from models.embeddings.codes import CodesEmbedding
from models.indexing import drop_index
from models.presets import preset
from models.scorers.ann.ivf import has_faiss

NUM_ITEMS = 2_000
CLUSTERS = compute_cluster_count(NUM_ITEMS)


def test_item_shares_most_codes_within_its_cluster_only() -> None:
    model = make_synthetic_model(preset("blossom"), make_synthetic_catalogue(make_log_config(NUM_ITEMS)), 0)
    assert isinstance(model.embedding, CodesEmbedding)
    codes = model.embedding.codes()[1:]
    alike = (codes[:50, None] == codes[None]).float().mean(-1)  # (50, items)
    in_cluster = alike > SHARED**2 / 2
    assert alike[in_cluster].mean().item() == pytest.approx(SHARED**2 + (1 - SHARED**2) / 64, abs=0.03)
    assert in_cluster.float().mean().item() == pytest.approx(1 / CLUSTERS, abs=0.03)


@pytest.mark.parametrize("name", ["blossom", "sasrec"])
def test_nearest_neighbors_are_nearer_than_chance(name: str) -> None:
    table = (
        make_synthetic_model(preset(name), make_synthetic_catalogue(make_log_config(NUM_ITEMS)), 0)
        .embedding.table()
        .detach()
    )
    assert not table[0].any()
    unit = torch.nn.functional.normalize(table[1:])
    cosines = unit[:50] @ unit.T
    assert cosines.topk(11).values[:, 1:].mean() > 0.6
    assert cosines.mean().abs() < 0.15


@pytest.mark.skipif(not has_faiss(), reason="faiss is not installed: pip install 'nextup[ann]'")
def test_index_is_built_once_used_and_dropped(tmp_path: Path) -> None:
    folder = make_synthetic_artifact(tmp_path, "blossom", NUM_ITEMS)
    events = generate_events(make_log_config(NUM_ITEMS, users=40))
    description = make_synthetic_index(folder, events, queries=20)
    assert description is not None
    assert description["recall@10"] >= 0.99
    index_stat = (folder / "neighbours.ivf").stat()
    assert make_synthetic_index(folder, events, queries=20) == description
    assert (folder / "neighbours.ivf").stat() == index_stat
    assert load_artifact(folder, device="cpu").predictor.recall == description["recall@10"]
    drop_index(folder)
    assert load_artifact(folder, device="cpu").predictor.recall == 1.0
    assert not (folder / "neighbours.ivf").exists()
    drop_index(folder)
