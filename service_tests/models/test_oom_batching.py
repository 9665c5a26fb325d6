"""What does not fit at once is asked in parts, and nobody's answer changes or is lost by it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.oom_batching import AdaptiveBatchSize
from models.predictor import Predictor
from models.runners.torch_runner import TorchRunner
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model


@given(count=st.integers(1, 100), room=st.integers(1, 100))
def test_every_row_is_answered_once_and_in_order(count: int, room: int) -> None:
    fitting = AdaptiveBatchSize()

    def ask(rows: slice) -> list[int]:
        if rows.stop - rows.start > room:
            raise torch.OutOfMemoryError("full")
        return list(range(rows.start, rows.stop))

    for _ in range(2):
        assert [row for part in fitting.run(count, ask) for row in part] == list(range(count))
    assert fitting.largest is None if count <= room else fitting.largest is not None
    assert (fitting.largest or 1) <= room


def test_what_was_found_out_is_not_tried_again() -> None:
    fitting, sizes = AdaptiveBatchSize(), []

    def ask(rows: slice) -> None:
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 4:
            raise torch.OutOfMemoryError("full")

    fitting.run(16, ask)
    assert sizes == [16, 8, 4, 4, 4, 4]
    sizes.clear()
    fitting.run(9, ask)
    assert sizes == [4, 4, 1]


def test_one_row_that_does_not_fit_is_an_error() -> None:
    def ask(_: slice) -> None:
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        AdaptiveBatchSize().run(8, ask)


class SmallDevice(TorchRunner):
    """Has room for three histories."""

    def encode(self, histories, times=None):  # type: ignore[no-untyped-def]
        if len(histories) > 3:
            raise torch.OutOfMemoryError("full")
        return super().encode(histories, times)


def test_a_predictor_answers_in_parts_as_it_would_at_once() -> None:
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
