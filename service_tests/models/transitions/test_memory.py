"""Transition memory: packed rows, and followers counted as a direct sum over all pairs."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.transitions.codec import count_index_bytes, pack_indices, unpack_indices
from models.transitions.counting import count_transitions, fill_memory
from models.transitions.memory import COUNTED_STEPS, TransitionMemory
from models.transitions.mixing import TransitionMixer

NUM_ITEMS = 9
histories_of = st.lists(st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=12), min_size=1, max_size=8)


def count_directly(histories: list[list[int]]) -> dict[tuple[int, int], float]:
    weights: dict[tuple[int, int], float] = defaultdict(float)
    for history in histories:
        for start, source in enumerate(history):
            for distance, follower in enumerate(history[start + 1 : start + 1 + COUNTED_STEPS], 1):
                weights[source, follower] += 1 / distance
    return weights


def to_arrays(histories: list[list[int]]) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    return [np.array(history, dtype=np.int64) for history in histories]


@settings(deadline=None, max_examples=60)
@given(histories=histories_of, part_events=st.integers(1, 40))
def test_counts_are_sums_over_all_pairs_for_every_size_of_part(histories: list[list[int]], part_events: int) -> None:
    counted = count_transitions(to_arrays(histories), part_events=part_events)
    expected = count_directly(histories)
    actual = {(source, follower): weight for source, follower, weight in counted.rows()}
    assert actual.keys() == expected.keys()
    assert all(actual[pair] == pytest.approx(weight) for pair, weight in expected.items())


@settings(deadline=None, max_examples=60)
@given(histories=histories_of, part_events=st.integers(1, 40))
def test_undirected_counts_are_sums_of_both_directions(histories: list[list[int]], part_events: int) -> None:
    counted = count_transitions(to_arrays(histories), directed=False, part_events=part_events)
    expected: dict[tuple[int, int], float] = defaultdict(float)
    for (source, follower), weight in count_directly(histories).items():
        expected[min(source, follower), max(source, follower)] += weight
    actual = {(source, follower): weight for source, follower, weight in counted.rows()}
    assert actual == {pair: pytest.approx(weight) for pair, weight in expected.items()}


@settings(deadline=None, max_examples=60)
@given(histories=histories_of, part_events=st.integers(1, 40), seed=st.integers(0, 99))
def test_weighted_counts_are_sums_of_the_weights_of_the_followers(
    histories: list[list[int]], part_events: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.choice(np.array([0, 0.25, 2], dtype=np.float32), len(history)) for history in histories]
    expected: dict[tuple[int, int], float] = defaultdict(float)
    for history, row in zip(histories, weights, strict=True):
        for start, source in enumerate(history):
            for end in range(start + 1, min(len(history), start + 1 + COUNTED_STEPS)):
                if row[end] > 0:
                    expected[source, history[end]] += float(row[end]) / (end - start)
    counted = count_transitions(to_arrays(histories), part_events=part_events, weights=weights)
    actual = {(source, follower): weight for source, follower, weight in counted.rows()}
    assert actual == {pair: pytest.approx(weight) for pair, weight in expected.items()}


@settings(deadline=None, max_examples=60)
@given(histories=histories_of, num_followers=st.integers(1, 12))
def test_memory_holds_the_strongest_followers(histories: list[list[int]], num_followers: int) -> None:
    memory = TransitionMemory(NUM_ITEMS, 3, num_followers)
    fill_memory(memory, to_arrays(histories))
    weights = count_directly(histories)
    mixer = TransitionMixer(memory)
    hidden = np.zeros((1, 3), dtype=np.float32)
    for item in range(1, NUM_ITEMS + 1):
        result = mixer.find_followers([np.array([item])], hidden)
        pairs = {follower: weight for (source, follower), weight in weights.items() if source == item}
        total = sum(pairs.values())
        strongest = sorted(pairs, key=lambda follower: (-round(pairs[follower], 9), follower))[:num_followers]
        items = result.items[0, 0, :-1]  # the last one is the item itself
        assert sorted(items[items > 0].tolist()) == sorted(strongest) or len(set(pairs.values())) < len(pairs)
        for follower, probability in zip(items.tolist(), result.probabilities[0, 0, :-1].tolist(), strict=True):
            assert probability == (pytest.approx(pairs[follower] / total, rel=0.03) if follower else 0)
        assert result.features[0, 0, 0] == pytest.approx(np.log1p(total), abs=0.05)


@given(num_items=st.integers(1, 2**31), data=st.data())
def test_packed_indices_round_trip(num_items: int, data: st.DataObject) -> None:
    indices = np.array(data.draw(st.lists(st.integers(0, num_items), min_size=1, max_size=8)), dtype=np.int64)
    packed = pack_indices(indices, count_index_bytes(num_items))
    assert np.array_equal(unpack_indices(packed, len(indices)), indices)


def test_rows_of_a_catalogue_that_grows_past_two_bytes_keep_their_followers() -> None:
    small, large = TransitionMemory(65_000, 2, 3), TransitionMemory(70_000, 2, 3)
    fill_memory(small, to_arrays([[5, 64_999, 65_000], [5, 17]]))
    large.rows.copy_(small.make_extended_rows(70_000))
    hidden = np.zeros((2, 2), dtype=np.float32)
    histories = [np.array([5]), np.array([64_999])]
    before, after = (TransitionMixer(memory).find_followers(histories, hidden) for memory in (small, large))
    assert np.array_equal(before.items, after.items)
    assert np.array_equal(before.probabilities, after.probabilities)
    new_item = TransitionMixer(large).find_followers([np.array([70_000])], hidden[:1])
    assert not new_item.items[..., :-1].any()


def test_items_without_followers_change_nothing() -> None:
    memory = TransitionMemory(5, 2, 4)
    mixer = TransitionMixer(memory)
    items, bonuses = mixer.compute_bonuses(mixer.find_followers([np.array([1, 2])], np.ones((1, 2), dtype=np.float32)))
    assert not items.any()
    assert np.isneginf(bonuses).all()


def test_memory_of_the_earlier_layout_loads_with_the_same_weights() -> None:
    """Five distances, one gate, no damping, and a network for the normalizer."""
    memory = TransitionMemory(9, 3, 2)
    fill_memory(memory, to_arrays([[1, 2, 3, 4, 5, 6, 7, 8, 9]]))
    generator = torch.Generator().manual_seed(0)
    gate = torch.randn(13, generator=generator)
    network = {"normalizer_in": torch.randn(32, 4, generator=generator), "normalizer_out": torch.full((2, 33), 0.02)}
    loaded = TransitionMemory(9, 3, 2)
    loaded.load_state_dict({"rows": memory.rows, "gate": gate, "scale": torch.tensor([0.7]), **network})
    assert loaded.damping.item() == 1
    assert torch.equal(loaded.normalizer_in, network["normalizer_in"])
    mixer = TransitionMixer(loaded)
    hidden = np.ones((1, 3), dtype=np.float32)
    history = np.array([1, 2, 3, 4, 5, 6])
    followers = mixer.find_followers([history], hidden)
    items, bonuses = mixer.compute_bonuses(followers)
    bonus_of = dict(zip(items[0].tolist(), bonuses[0].tolist(), strict=True))
    assert 2 not in bonus_of  # follows only the item at distance 6, which has no weight
    exponents = gate[:5].numpy() + followers.features[0, :5] @ gate[5:].numpy()
    assert bonus_of[7] == pytest.approx(
        np.log((np.exp(exponents) * (followers.probabilities[0, :5] * (followers.items[0, :5] == 7)).sum(-1)).sum())
        + followers.log_normalizers[0],
        abs=1e-4,
    )
