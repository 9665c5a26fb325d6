"""Training adds a transition memory that learns from training and validation events, and from nothing else."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifact import load_artifact
from models.cold_start import with_new_items
from models.config import ModelConfig
from models.data.dataset import Dataset
from models.predictor import Predictor
from models.training.options import RunContext, TrainingOptions
from models.training.pipeline import train_artifact
from models.training.transitions import add_transitions
from models.transitions.memory import LOOKBACK, NEVER
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

pytestmark = pytest.mark.slow

CATALOGUE = tiny_catalogue(60)
CPU = torch.device("cpu")


def make_dataset(num_users: int = 120, share_next: float = 0.6, seed: int = 0) -> Dataset:
    """Each item has one successor, which follows it with this probability; other items follow at random."""
    rng = np.random.default_rng(seed)
    successors = rng.permutation(60) + 1
    histories = np.empty((num_users, 10), dtype=np.int64)
    for history in histories:
        history[0] = rng.integers(1, 61)
        for step in range(1, 10):
            is_next = rng.random() < share_next
            history[step] = successors[history[step - 1] - 1] if is_next else rng.integers(1, 61)
    users = [f"u{number:03}" for number in range(num_users)]
    return Dataset(CATALOGUE, users, np.arange(0, 10 * num_users + 1, 10), histories.flatten())


def train(folder: Path, config: ModelConfig, dataset: Dataset) -> float:
    options = TrainingOptions(epochs=1, keep_seen=True)
    return train_artifact(dataset, config, options, RunContext(CPU, folder)).test.values["ndcg@10"]


@pytest.mark.parametrize("preset", ["popular", "sasrec", "blossom", "cprec"])
def test_memory_raises_the_accuracy_of_a_model_that_has_hardly_been_trained(preset: str, tmp_path: Path) -> None:
    dataset, config = make_dataset(), tiny_config(preset)
    without = train(tmp_path / "without", dataclasses.replace(config, transitions=0), dataset)
    with_memory = train(tmp_path / "with", dataclasses.replace(config, transitions=4), dataset)
    assert with_memory > without + 0.2


def test_artifact_keeps_the_memory_and_counts_its_bytes(tmp_path: Path) -> None:
    train(tmp_path, tiny_config("blossom", transitions=4), make_dataset())
    artifact = load_artifact(tmp_path)
    memory = artifact.predictor.model.transitions
    assert memory is not None
    assert artifact.predictor.config.transitions == 4
    assert artifact.bytes_by_part["transitions"] == sum(part.nbytes for part in memory.state_dict().values())
    loaded = load_artifact(tmp_path, native=False)
    histories = [np.array([5, 7, 9]), np.array([60])]
    native_top, torch_top = (each.predictor.top_k(histories, 10) for each in (artifact, loaded))
    assert np.array_equal(native_top.indices, torch_top.indices)
    np.testing.assert_allclose(native_top.scores, torch_top.scores, rtol=1e-4, atol=1e-4)


def test_test_events_do_not_affect_the_memory() -> None:
    dataset = make_dataset()
    changed = dataclasses.replace(dataset, items=dataset.items.copy())
    changed.items[9::10] = 1
    models = [tiny_model(tiny_config("sasrec"), CATALOGUE) for _ in range(2)]
    for model, log in zip(models, (dataset, changed), strict=True):
        add_transitions(model, log, 4, TrainingOptions(), RunContext(CPU, Path()))
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_validation_events_are_not_in_their_own_counts() -> None:
    dataset = make_dataset()
    changed = dataclasses.replace(dataset, items=dataset.items.copy())
    changed.items[8::10] = 1
    models = [tiny_model(tiny_config("sasrec"), CATALOGUE) for _ in range(2)]
    for model, log in zip(models, (dataset, changed), strict=True):
        add_transitions(model, log, 4, TrainingOptions(keep_seen=True), RunContext(CPU, Path()))
    first, second = (model.state_dict() for model in models)
    assert torch.equal(first["transitions.rows"], second["transitions.rows"])
    assert not torch.equal(first["transitions.gate"], second["transitions.gate"])


def test_random_transitions_do_not_outweigh_the_model() -> None:
    dataset = make_dataset(num_users=400, share_next=0.0)
    model = tiny_model(tiny_config("popular"), CATALOGUE)
    add_transitions(model, dataset, 4, TrainingOptions(keep_seen=True), RunContext(CPU, Path()))
    assert model.transitions is not None
    assert model.transitions.gate[0, :LOOKBACK].exp().sum() < 1


def test_new_items_have_no_followers_and_the_answers_for_other_items_stay() -> None:
    model = tiny_model(tiny_config("sasrec"), CATALOGUE)
    add_transitions(model, make_dataset(), 4, TrainingOptions(), RunContext(CPU, Path()))
    extended = with_new_items(model, [(torch.tensor([3, 4]), torch.tensor([1.0, 2.0]))]).eval()
    histories = [np.array([5, 7, 9])]
    mask = np.ones(62, dtype=bool)
    mask[61] = False
    before = Predictor(model, CPU).top_k(histories, 10)
    after = Predictor(extended, CPU).top_k(histories, 10, allow_masks=[mask])
    assert np.array_equal(before.indices, after.indices)
    np.testing.assert_allclose(before.scores, after.scores, rtol=1e-5)
    assert extended.transitions is not None
    assert not extended.transitions.rows[61].any()


def test_memory_stays_off_without_validation_events() -> None:
    dataset = make_dataset(num_users=2)
    short = dataclasses.replace(dataset, offsets=np.array([0, 2, 4]), items=dataset.items[:4])
    model = tiny_model(tiny_config("sasrec"), CATALOGUE)
    before = Predictor(model, CPU).top_k([np.array([5, 7])], 10)
    add_transitions(model, short, 4, TrainingOptions(), RunContext(CPU, Path()))
    after = Predictor(model, CPU).top_k([np.array([5, 7])], 10)
    assert np.array_equal(before.scores, after.scores)
    assert np.array_equal(before.indices, after.indices)


def test_repeats_count_only_where_the_evaluation_keeps_seen_items() -> None:
    """Every user repeats the item before the last one."""
    dataset = make_dataset(share_next=0.0)
    items = dataset.items.copy().reshape(-1, 10)
    items[:, 2:] = items[:, [0, 1] * 4]
    repeating = dataclasses.replace(dataset, items=items.flatten())
    tops = []
    for keep_seen in (True, False):
        model = tiny_model(tiny_config("sasrec"), CATALOGUE)
        log = repeating if keep_seen else dataset
        add_transitions(model, log, 4, TrainingOptions(keep_seen=keep_seen), RunContext(CPU, Path()))
        assert model.transitions is not None
        tops.append(Predictor(model, CPU).top_k([np.array([5, 9])], 1).indices[0, 0])
        assert (model.transitions.gate[1, :LOOKBACK] > NEVER).all() == keep_seen
    assert tops[0] == 5
