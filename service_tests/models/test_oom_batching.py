"""Adaptive batch size: batches that do not fit are split, and answers do not change."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.oom_batching import AdaptiveBatchSize
from models.predictor import Predictor
from models.runners.torch_runner import TorchRunner
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model


@given(count=st.integers(1, 100), capacity=st.integers(1, 100))
def test_every_row_runs_once_and_in_order(count: int, capacity: int) -> None:
    batch_size = AdaptiveBatchSize()

    def run_part(rows: slice) -> list[int]:
        if rows.stop - rows.start > capacity:
            raise torch.OutOfMemoryError("full")
        return list(range(rows.start, rows.stop))

    for _ in range(2):
        assert [row for part in batch_size.run(count, run_part) for row in part] == list(range(count))
    assert batch_size.limit is None if count <= capacity else batch_size.limit is not None
    assert (batch_size.limit or 1) <= capacity


def test_learned_limit_is_not_exceeded_again() -> None:
    batch_size, sizes = AdaptiveBatchSize(), []

    def run_part(rows: slice) -> None:
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 4:
            raise torch.OutOfMemoryError("full")

    batch_size.run(16, run_part)
    assert sizes == [16, 8, 4, 4, 4, 4]
    sizes.clear()
    batch_size.run(9, run_part)
    assert sizes == [4, 4, 1]


def test_single_row_that_does_not_fit_raises() -> None:
    def run_part(_: slice) -> None:
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        AdaptiveBatchSize().run(8, run_part)


class SmallDevice(TorchRunner):
    """Runs out of memory for more than three histories."""

    def encode(self, histories, times=None, request_times=None):  # type: ignore[no-untyped-def]
        if len(histories) > 3:
            raise torch.OutOfMemoryError("full")
        return super().encode(histories, times, request_times)


def test_predictor_returns_the_same_items_in_parts() -> None:
    model = tiny_model(tiny_config("blossom"), tiny_catalogue(60))
    rng = np.random.default_rng(0)
    histories = [rng.integers(1, 61, length) for length in rng.integers(1, 30, 10)]
    times = [np.sort(rng.integers(10**9, 2 * 10**9, len(history))).astype(np.uint32) for history in histories]
    masks = [rng.random(61) < 0.5 if row % 2 else None for row in range(10)]
    cpu = torch.device("cpu")
    whole, parts = (
        predictor.top_k(histories, 10, times=times, excluded=histories, allow_masks=masks)
        for predictor in (Predictor(model, cpu), Predictor(model, cpu, SmallDevice(model, cpu)))
    )
    assert np.array_equal(whole.indices, parts.indices)
    np.testing.assert_allclose(whole.scores, parts.scores, rtol=1e-5, atol=1e-5)
