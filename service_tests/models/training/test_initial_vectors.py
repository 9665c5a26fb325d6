"""Initial item vectors from counts: related items are near each other before any training."""

import numpy as np
import pytest
import torch

from models.data.dataset import Dataset
from models.training.initial_vectors import DEVIATION, compute_initial_vectors, estimate_initial_vectors_s
from service_tests.support.artifacts import tiny_catalogue

NUM_ITEMS, GROUP = 60, 10


def make_grouped_log(num_users: int = 120, length: int = 12) -> Dataset:
    """Users stay within one of the groups of `GROUP` items; the last group never occurs."""
    rng = np.random.default_rng(0)
    groups = rng.integers(0, NUM_ITEMS // GROUP - 1, num_users)
    items = (groups[:, None] * GROUP + rng.integers(0, GROUP, (num_users, length)) + 1).ravel()
    users = [f"u{number}" for number in range(num_users)]
    return Dataset(tiny_catalogue(NUM_ITEMS), users, np.arange(0, len(items) + 1, length), items)


def test_items_of_a_group_are_nearer_than_others() -> None:
    vectors = compute_initial_vectors(make_grouped_log(), 8, seed=1)[1 : NUM_ITEMS - GROUP + 1]
    directions = torch.nn.functional.normalize(vectors)
    cosines = directions @ directions.T
    groups = torch.arange(len(vectors)) // GROUP
    is_same_group = (groups[:, None] == groups) & ~torch.eye(len(vectors), dtype=torch.bool)
    assert cosines[is_same_group].mean() > cosines[groups[:, None] != groups].mean() + 0.5


def test_vectors_have_the_scale_of_random_ones_in_all_features() -> None:
    vectors = compute_initial_vectors(make_grouped_log(), 8, seed=1)
    assert vectors.shape == (NUM_ITEMS + 1, 8)
    assert vectors[1:].std().item() == pytest.approx(DEVIATION, rel=1e-3)
    assert vectors.std(0).min() > DEVIATION / 5
    assert vectors[0].abs().max() == 0, "padding"
    assert vectors[-GROUP:].abs().max() == 0, "items without neighbors"


def test_vectors_repeat_with_the_seed() -> None:
    dataset = make_grouped_log()
    first = compute_initial_vectors(dataset, 8, seed=1)
    torch.testing.assert_close(compute_initial_vectors(dataset, 8, seed=1), first, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(compute_initial_vectors(dataset, 8, seed=2), first, atol=1e-3)


def test_log_without_pairs_gives_finite_vectors() -> None:
    vectors = compute_initial_vectors(make_grouped_log(1, 1), 64, seed=1)
    assert vectors.shape == (NUM_ITEMS + 1, 64)
    assert vectors.isfinite().all()


def test_held_out_events_are_not_counted() -> None:
    dataset = make_grouped_log()
    items = dataset.items.copy()
    items[dataset.offsets[1:] - 1] = NUM_ITEMS
    items[dataset.offsets[1:] - 2] = NUM_ITEMS
    other = Dataset(dataset.catalogue, dataset.user_ids, dataset.offsets, items)
    assert torch.equal(compute_initial_vectors(other, 8, seed=1), compute_initial_vectors(dataset, 8, seed=1))


def test_time_grows_with_events_and_items() -> None:
    assert estimate_initial_vectors_s(10**6, 10_000) < estimate_initial_vectors_s(2 * 10**6, 10_000)
    assert estimate_initial_vectors_s(10**6, 10_000) < estimate_initial_vectors_s(10**6, 20_000)
