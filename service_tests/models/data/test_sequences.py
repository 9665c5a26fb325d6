"""Training batches: nobody is forgotten, targets follow, an epoch repeats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batch import NO_TIME
from models.data.sequences import TrainingBatches

MAX_LEN = 8


def batches(lengths: list[int], cells: int = 40, seed: int = 0) -> TrainingBatches:
    histories = [np.arange(1, length + 1) + 100 * user for user, length in enumerate(lengths)]
    return TrainingBatches(histories, max_len=MAX_LEN, batch_cells=cells, seed=seed)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=40), cells=st.integers(1, 100), epoch=st.integers(1, 3)
)
def test_the_newest_window_of_every_user_with_two_events_is_in_every_epoch_once(
    lengths: list[int], cells: int, epoch: int
) -> None:
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
            user = int(row[0]) // 100
            if wanted[length - 1] == 100 * user + lengths[user]:
                users.append(user)
    assert sorted(users) == [user for user, length in enumerate(lengths) if length > 1]


@settings(deadline=None)
@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=20), epoch=st.integers(1, 3))
def test_every_event_of_a_batch_has_its_own_time_and_padding_has_none(lengths: list[int], epoch: int) -> None:
    histories = [np.arange(1, length + 1) + 100 * user for user, length in enumerate([2, *lengths])]
    times = [(history + 50).astype(np.uint32) for history in histories]
    made = TrainingBatches(histories, max_len=MAX_LEN, batch_cells=40, seed=0, times=times)
    without = TrainingBatches(histories, max_len=MAX_LEN, batch_cells=40, seed=0)
    for plan in made.epoch(epoch):
        sequences = made.batch(plan).sequences
        assert sequences.times is not None
        assert sequences.times.tolist() == np.where(sequences.items == 0, NO_TIME, sequences.items + 50).tolist()
        assert without.batch(plan).sequences.times is None


def test_an_epoch_is_the_same_every_time_and_the_next_one_is_another() -> None:
    made, again = batches([30] * 20), batches([30] * 20)
    first = [plan.tolist() for plan in made.epoch(1)]
    assert first == [plan.tolist() for plan in again.epoch(1)]
    assert first != [plan.tolist() for plan in made.epoch(2)]
    assert first != [plan.tolist() for plan in batches([30] * 20, seed=1).epoch(1)]


def test_windows_cover_a_long_history_and_most_events_are_targets_with_a_long_past() -> None:
    made = batches([60] * 50, cells=80)
    for epoch in range(1, 6):
        covered = np.zeros((50, 61), dtype=int)
        for plan in made.epoch(epoch):
            for user, end in plan:
                covered[user, max(0, end - MAX_LEN - 1) + 1 : end] += 1  # the first item of a window is no target
        assert (covered[:, 1:60] >= 1).all()
        assert covered.mean() < 1.3, "windows overlap little"


def test_a_history_hardly_longer_than_a_window_has_seldom_a_second_one() -> None:
    made = batches([MAX_LEN + 2] * 400, cells=80)
    windows = [len(np.concatenate(made.epoch(epoch))) for epoch in range(1, 11)]
    assert 400 < np.mean(windows) < 400 * (1 + 3 / MAX_LEN)


def test_cuts_move_from_epoch_to_epoch() -> None:
    made = batches([30] * 50, cells=80)
    ends = {int(end) for epoch in range(20) for plan in made.epoch(epoch) for _, end in plan}
    assert ends >= set(range(MAX_LEN + 1, 28))
