"""Training batches: every user is covered, targets follow their items, and epochs are reproducible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batch import NO_TIME
from models.data.sequences import TrainingBatches

MAX_LEN = 8


def make_batches(lengths: list[int], cells: int = 40, seed: int = 0) -> TrainingBatches:
    histories = [np.arange(1, length + 1) + 100 * user for user, length in enumerate(lengths)]
    return TrainingBatches(histories, max_len=MAX_LEN, batch_cells=cells, seed=seed)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=40), cells=st.integers(1, 100), epoch=st.integers(1, 3)
)
def test_every_epoch_has_the_newest_window_of_every_user_once(lengths: list[int], cells: int, epoch: int) -> None:
    if max(lengths) < 2:
        with pytest.raises(ValueError, match="at least one user with two events"):
            make_batches(lengths)
        return
    training_batches = make_batches(lengths, cells)
    users = []
    for plan in training_batches.plan_epoch(epoch):
        batch = training_batches.build_batch(plan)
        items, targets = batch.sequences.items.numpy(), batch.targets.numpy()
        assert items.size <= cells or len(items) == 1
        for row, row_targets, length in zip(items, targets, batch.sequences.lengths.tolist(), strict=True):
            assert (row_targets[:length] == row[:length] + 1).all(), "the target of a position is the item after it"
            assert not row[length:].any()
            assert not row_targets[length:].any()
            user = int(row[0]) // 100
            if row_targets[length - 1] == 100 * user + lengths[user]:
                users.append(user)
    assert sorted(users) == [user for user, length in enumerate(lengths) if length > 1]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    epoch=st.integers(1, 3),
    seed=st.integers(0, 99),
    last_only=st.booleans(),
)
def test_targets_of_weight_zero_are_none_and_every_other_event_has_its_weight(
    lengths: list[int], epoch: int, seed: int, last_only: bool
) -> None:
    rng = np.random.default_rng(seed)
    histories = [np.arange(1, length + 1) + 100 * user for user, length in enumerate([3, *lengths])]
    weights = [rng.choice(np.array([0, 0.5, 3], dtype=np.float32), len(history)) for history in histories]
    weights[0][-1] = 0.5
    weight_of = dict(zip(np.concatenate(histories).tolist(), np.concatenate(weights).tolist(), strict=True))
    batches = TrainingBatches(
        histories, max_len=MAX_LEN, batch_cells=40, seed=seed, weights=weights, last_only=last_only
    )
    trained = set()
    for plan in batches.plan_epoch(epoch):
        batch = batches.build_batch(plan)
        assert batch.weights is not None
        row_sums = []
        for items, targets, row in zip(batch.sequences.items, batch.targets, batch.weights, strict=True):
            ends = items[items > 0] + 1
            assert row[: len(ends)].tolist() == [weight_of[end] for end in ends.tolist()]
            assert targets.tolist() == [
                end if weight else 0 for end, weight in zip((items + 1).tolist(), row, strict=True)
            ]
            trained |= set(targets[targets > 0].tolist())
            row_sums.append(float(row[len(ends) - 1] if last_only else row.sum()))
        assert min(row_sums) > 0, "no window without a target"
        assert batches.sum_weights(plan) == pytest.approx(sum(row_sums))
    firsts = {int(history[0]) for history in histories}
    possible = {item for item, weight in weight_of.items() if weight and item not in firsts}
    newest = {int(end) for history in histories for end in [max((i for i in history if i in possible), default=0)]}
    assert newest - {0} <= trained <= possible


def test_log_without_any_target_is_refused() -> None:
    histories, weights = [np.arange(1, 5)], [np.array([1, 0, 0, 0], dtype=np.float32)]
    with pytest.raises(ValueError, match="with a weight above 0"):
        TrainingBatches(histories, max_len=MAX_LEN, batch_cells=40, seed=0, weights=weights)


@settings(deadline=None)
@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=20), epoch=st.integers(1, 3))
def test_times_of_a_batch_match_its_items(lengths: list[int], epoch: int) -> None:
    histories = [np.arange(1, length + 1) + 100 * user for user, length in enumerate([2, *lengths])]
    times = [(history + 50).astype(np.uint32) for history in histories]
    trained = [history for history in histories if len(history) > 1]
    timed = TrainingBatches(histories, max_len=MAX_LEN, batch_cells=40, seed=0, times=times)
    untimed = TrainingBatches(histories, max_len=MAX_LEN, batch_cells=40, seed=0)
    for plan in timed.plan_epoch(epoch):
        sequences = timed.build_batch(plan).sequences
        assert sequences.times is not None
        assert sequences.times.tolist() == np.where(sequences.items == 0, NO_TIME, sequences.items + 50).tolist()
        untimed_sequences = untimed.build_batch(plan).sequences
        assert untimed_sequences.times is None
        assert untimed_sequences.request_times is None
        assert sequences.request_times is not None
        last = [trained[row][end - 1] + 50 for row, end in plan.tolist()]
        assert sequences.request_times.tolist() == last, "the times of the last targets"


def test_epoch_is_reproducible_and_differs_from_the_next_one() -> None:
    training_batches, again = make_batches([30] * 20), make_batches([30] * 20)
    first = [plan.tolist() for plan in training_batches.plan_epoch(1)]
    assert first == [plan.tolist() for plan in again.plan_epoch(1)]
    assert first != [plan.tolist() for plan in training_batches.plan_epoch(2)]
    assert first != [plan.tolist() for plan in make_batches([30] * 20, seed=1).plan_epoch(1)]


def test_windows_cover_a_long_history_with_little_overlap() -> None:
    training_batches = make_batches([60] * 50, cells=80)
    for epoch in range(1, 6):
        covered = np.zeros((50, 61), dtype=int)
        for plan in training_batches.plan_epoch(epoch):
            for user, end in plan:
                covered[user, max(0, end - MAX_LEN - 1) + 1 : end] += 1  # the first item of a window is not a target
        assert (covered[:, 1:60] >= 1).all()
        assert covered.mean() < 1.3, "windows overlap little"


def test_history_slightly_longer_than_a_window_rarely_has_a_second_one() -> None:
    training_batches = make_batches([MAX_LEN + 2] * 400, cells=80)
    windows = [len(np.concatenate(training_batches.plan_epoch(epoch))) for epoch in range(1, 11)]
    assert 400 < np.mean(windows) < 400 * (1 + 3 / MAX_LEN)


def test_window_boundaries_change_between_epochs() -> None:
    training_batches = make_batches([30] * 50, cells=80)
    ends = {int(end) for epoch in range(20) for plan in training_batches.plan_epoch(epoch) for _, end in plan}
    assert ends >= set(range(MAX_LEN + 1, 28))
