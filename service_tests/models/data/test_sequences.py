"""Training batches: nobody is forgotten, targets follow, an epoch repeats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.sequences import TrainingBatches

MAX_LEN = 8


def batches(lengths: list[int], cells: int = 40, seed: int = 0) -> TrainingBatches:
    histories = [np.arange(1, length + 1) + 100 * user for user, length in enumerate(lengths)]
    return TrainingBatches(histories, max_len=MAX_LEN, batch_cells=cells, seed=seed)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=40), cells=st.integers(1, 100), epoch=st.integers(1, 3)
)
def test_every_user_with_two_events_is_in_every_epoch_once(lengths: list[int], cells: int, epoch: int) -> None:
    if max(lengths) < 2:
        with pytest.raises(ValueError, match="nothing to learn"):
            batches(lengths)
        return
    made = batches(lengths, cells)
    users = []
    for plan in made.epoch(epoch):
        batch = made.batch(plan)
        items, targets = batch.sequences.items.numpy(), batch.targets.numpy()
        assert items.size <= cells or len(items) == 1
        for row, wanted, length in zip(items, targets, batch.sequences.lengths.tolist(), strict=True):
            assert (wanted[:length] == row[:length] + 1).all(), "the target of a position is the item after it"
            assert not row[length:].any()
            assert not wanted[length:].any()
            users.append(int(row[0]) // 100)
    assert sorted(users) == [user for user, length in enumerate(lengths) if length > 1]


def test_an_epoch_is_the_same_every_time_and_the_next_one_is_another() -> None:
    made, again = batches([30] * 20), batches([30] * 20)
    first = [plan.tolist() for plan in made.epoch(1)]
    assert first == [plan.tolist() for plan in again.epoch(1)]
    assert first != [plan.tolist() for plan in made.epoch(2)]
    assert first != [plan.tolist() for plan in batches([30] * 20, seed=1).epoch(1)]


def test_long_histories_give_their_newest_window_half_of_the_time_and_older_ones_too() -> None:
    made = batches([30] * 200, cells=80)
    ends = np.concatenate([plan[:, 1] for epoch in range(20) for plan in made.epoch(epoch)])
    assert 0.48 < np.mean(ends == 30) < 0.58  # half, and the random place may be the newest too
    assert ends.min() == MAX_LEN + 1, "the oldest window is full"
