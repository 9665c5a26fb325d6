"""The preset lsan from a log with categories to an artifact: learning, size, and outputs after loading."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifact import load_artifact
from models.build import build_model, complete_config
from models.config import ModelConfig, Part
from models.data.dataset import Dataset
from models.evaluation.evaluate import evaluate
from models.predictor import Predictor
from models.training.options import RunContext, TrainingOptions
from models.training.pipeline import TrainingResult, train_artifact
from models.training.trainer import Trainer
from service_tests.support.artifacts import tiny_catalogue, tiny_config

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
NUM_ITEMS = 30
LITERAL = dataclasses.replace(
    tiny_config("lsan"), embedding=Part("compositional"), encoder=Part("twin_attention"), preset="custom"
)
"""The paper's: rows by digits of the index, one block, learned positions."""


def make_cyclic_log(users: int = 60, length: int = 14) -> Dataset:
    """Users walk the catalogue in the same order from different starts; items are odd or even, and ten are low."""
    rng = np.random.default_rng(0)
    items = [(start + np.arange(length)) % NUM_ITEMS + 1 for start in rng.integers(0, NUM_ITEMS, users)]
    offsets = np.arange(0, (users + 1) * length, length)
    return Dataset(tiny_catalogue(NUM_ITEMS), [f"u{n}" for n in range(users)], offsets, np.concatenate(items))


def make_hour_log(users: int = 60, length: int = 14) -> Dataset:
    """The next item depends only on the hour of the event before it."""
    rng = np.random.default_rng(0)
    hours = rng.integers(0, 24, (users, length))
    items = np.concatenate((rng.integers(1, NUM_ITEMS + 1, (users, 1)), hours[:, :-1] + 1), axis=1).astype(np.int64)
    offsets = np.arange(0, (users + 1) * length, length)
    names = [f"u{n}" for n in range(users)]
    return Dataset(
        tiny_catalogue(NUM_ITEMS),
        names,
        offsets,
        items.reshape(-1),
        (10**9 // 86_400 * 86_400 + 3600 * hours.reshape(-1)).astype(np.uint32),
    )


def train(folder: Path, config: ModelConfig, *, epochs: int, negatives: int | None = None) -> TrainingResult:
    options = TrainingOptions(
        epochs=epochs, batch_cells=256, learning_rate=1e-2, warmup_steps=5, num_negatives=negatives
    )
    return train_artifact(make_cyclic_log(), config, options, RunContext(CPU, folder))


@pytest.mark.parametrize("negatives", [None, 20])
@pytest.mark.parametrize("head", ["tied", "dense"])
@pytest.mark.parametrize("form", [LITERAL, tiny_config("lsan")], ids=lambda config: config.preset)
def test_lsan_learns_what_popularity_cannot(
    form: ModelConfig, head: str, negatives: int | None, tmp_path: Path
) -> None:
    config = dataclasses.replace(form, head=Part(head))
    assert train(tmp_path, config, epochs=25, negatives=negatives).test.values["ndcg@10"] > 0.8


def test_literal_lsan_learns_from_hours(tmp_path: Path) -> None:
    data = make_hour_log()
    options = TrainingOptions(epochs=25, batch_cells=256, learning_rate=1e-2, warmup_steps=5)
    predictors = []
    for name, dataset in (("with", data), ("without", dataclasses.replace(data, times=None))):
        train_artifact(dataset, LITERAL, options, RunContext(CPU, tmp_path / name))
        predictors.append(load_artifact(tmp_path / name, device="cpu").predictor)
    with_times, without_times = (evaluate(p, data, keep_seen=True).values["ndcg@10"] for p in predictors)
    assert with_times > 0.8
    assert without_times < 0.4


def test_checkpoint_with_other_times_raises(tmp_path: Path) -> None:
    data = make_hour_log(users=8)
    options = TrainingOptions(epochs=1, batch_cells=256, warmup_steps=5)
    model = build_model(tiny_config("lsan"), NUM_ITEMS)
    Trainer(model, data, options, RunContext(CPU, tmp_path)).run()
    assert data.times is not None
    later = dataclasses.replace(data, times=data.times + 3600)
    assert Trainer(model, data, options, RunContext(CPU, tmp_path)).resume()
    with pytest.raises(ValueError, match="other data"):
        Trainer(model, later, options, RunContext(CPU, tmp_path)).resume()


def test_prefix_form_without_residuals_learns_from_last_items(tmp_path: Path) -> None:
    encoder = Part("twin_attention", {"form": "prefix", "residual": False})
    config = dataclasses.replace(tiny_config("lsan"), encoder=encoder)
    curve = train(tmp_path, config, epochs=25).curve
    assert curve[-1].loss < 0.75 * curve[0].loss


def test_loaded_artifact_gives_the_golden_outputs_of_the_trained_model(tmp_path: Path) -> None:
    result = train(tmp_path, tiny_config("lsan"), epochs=2)
    artifact = load_artifact(tmp_path, device="cpu")
    assert artifact.version == result.version
    options = artifact.predictor.config.embedding.options
    assert options == {"assignment": "trained", "context_dim": 16, "num_categories": 3, "max_categories": 2}
    golden = json.loads((tmp_path / "golden.json").read_text())
    top = artifact.predictor.top_k([np.array(history) for history in golden["histories"]], 10)
    assert top.indices.tolist() == golden["items"]


def test_weights_include_the_category_lists(tmp_path: Path) -> None:
    train(tmp_path, tiny_config("lsan"), epochs=1)
    data = make_cyclic_log()
    fresh = build_model(complete_config(tiny_config("lsan"), data.catalogue), NUM_ITEMS)
    fresh.embedding.fit(data.catalogue, [])
    loaded = load_artifact(tmp_path, device="cpu").predictor.model
    name = "embedding.categories.lists"
    assert torch.equal(loaded.state_dict()[name], fresh.state_dict()[name])
    assert len(loaded.state_dict()[name].unique()) == 5, "three categories, no second category, no previous item"


def test_model_bytes_are_reported_by_part() -> None:
    catalogue = tiny_catalogue(3_416)
    tied = dataclasses.replace(LITERAL, dim=16)
    sizes = {}
    for name, config in {
        "tied": tied,
        "dense": dataclasses.replace(tied, head=Part("dense")),
        "full": dataclasses.replace(tied, embedding=Part("full")),
    }.items():
        model = build_model(complete_config(config, catalogue), catalogue.num_items)
        sizes[name] = Predictor(model, CPU).count_model_bytes()
    assert sizes["tied"]["head"] == 0
    assert sizes["dense"] == sizes["tied"] | {"head": 4 * 3_416 * (16 + 1)}
    assert sizes["full"]["embedding"] == 4 * 3_417 * 16
    rows = 4 * 16 * (472 + 8)  # the base tables
    context = 4 * 16 * (2 * (3 + 3) + 25)  # categories of the previous and current item, hours
    layers = 4 * (16 * 16 + 2 * 16 * 16 + 16 + 16 * 16 + 16)  # W_a and the MLP
    assert sizes["tied"]["embedding"] == rows + context + layers + 2 * 3_417  # two bytes of categories per item
    assert sizes["tied"]["encoder"] == sizes["full"]["encoder"]
