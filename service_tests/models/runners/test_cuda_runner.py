"""CUDA runner: replays equal plain torch, whatever ran in the same memory before, and survive lack of memory.

On a machine without a GPU nothing is recorded; the remaining code is the same.
"""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.presets import PRESETS
from models.runners.choice import build_cuda_runner, choose_runner
from models.runners.cuda_runner import CudaRunner
from models.runners.torch_runner import TorchRunner
from service_tests.models.runners.random_models import (
    make_config,
    make_random_histories,
    make_random_model,
    make_request_times,
)
from service_tests.models.runners.recording import DEVICES, ON_CUDA, CountingCapture, limit_memory, make_capture

CPU = torch.device("cpu")
LENGTHS = [1, 2, 15, 16, 17, 40, 64, 65, 200, 230]


@pytest.mark.parametrize("device_name", DEVICES)
@pytest.mark.parametrize("preset", PRESETS)
def test_hidden_vectors_equal_those_of_plain_torch(preset: str, device_name: str) -> None:
    device = torch.device(device_name)
    model = make_random_model(dataclasses.replace(make_config(preset), periods=8, request_times=True))
    runner, reference = CudaRunner(model, device, capture=make_capture(device)), TorchRunner(model, device)
    histories, times = make_random_histories(LENGTHS)
    requests = make_request_times(times)
    for rows in ([9], [0, 1], [3, 9, 2], list(range(10)), [0, 1], [2, 8], [1]):  # large before small, and again
        batch = [histories[row] for row in rows]
        batch_times = [times[row] for row in rows]
        for each_times, each_requests in ((None, None), (batch_times, None), (batch_times, requests[rows])):
            actual, expected = (each.encode(batch, each_times, each_requests) for each in (runner, reference))
            torch.testing.assert_close(actual.hidden, expected.hidden, rtol=1e-4, atol=1e-4)
            assert actual.hidden.dtype == torch.float32
            assert 0 <= actual.padding_ratio < 1


@pytest.mark.parametrize("device_name", DEVICES)
@pytest.mark.parametrize("preset", PRESETS)
def test_bf16_weights_are_close_and_leave_the_model_unchanged(preset: str, device_name: str) -> None:
    device = torch.device(device_name)
    model = make_random_model(make_config(preset))
    runner = CudaRunner(model, device, dtype=torch.bfloat16, capture=make_capture(device))
    histories, times = make_random_histories(LENGTHS)
    reference = TorchRunner(model, device)
    actual, expected = (each.encode(histories, times).hidden for each in (runner, reference))
    cosines = torch.cosine_similarity(actual, expected)
    assert actual.dtype == torch.float32
    assert cosines.min() > 0.99
    assert {parameter.dtype for parameter in model.parameters()} <= {torch.float32}
    if any(True for _ in model.encoder.parameters()):
        assert not torch.equal(actual, expected), "bf16 rounds differently"


def test_result_does_not_change_with_the_next_batch() -> None:
    model = make_random_model(make_config("sasrec"))
    runner = CudaRunner(model, CPU, capture=CountingCapture())
    histories, _ = make_random_histories([9, 12])
    first = runner.encode(histories[:1]).hidden
    copy = first.clone()
    runner.encode(histories[1:])
    assert torch.equal(first, copy)


def test_bucket_is_recorded_once_and_evicted_by_last_use() -> None:
    capture = CountingCapture()
    runner = CudaRunner(make_random_model(make_config("sasrec")), CPU, capture=capture, max_buckets=2)
    histories, _ = make_random_histories([20] * 8)
    for rows in (1, 2, 1, 3, 4, 1):  # buckets of 1, 2, 1, 4, 4 and 1 rows
        runner.encode(histories[:rows])
    assert capture.recorded == [1, 2, 4]
    assert capture.replayed == [1, 2, 1, 4, 4, 1]
    runner.encode(histories[:2])
    assert capture.recorded == [1, 2, 4, 2]


def test_unrecordable_bucket_runs_eagerly_and_is_not_retried(caplog: pytest.LogCaptureFixture) -> None:
    model, capture = make_random_model(make_config("sasrec")), CountingCapture(max_rows=2)
    runner = CudaRunner(model, CPU, capture=capture, max_buckets=1)
    histories, _ = make_random_histories([20] * 8)
    expected = TorchRunner(model, CPU).encode(histories).hidden
    for _ in range(2):
        torch.testing.assert_close(runner.encode(histories).hidden, expected, rtol=1e-5, atol=1e-5)
    assert capture.recorded == [8]
    assert capture.replayed == []
    assert "batches of 8 × 32 run without a recording: out of memory while recording" in caplog.messages[-1]
    runner.encode(histories[:2])
    assert capture.replayed == [2], "smaller batches are still recorded"
    runner.encode(histories)
    assert capture.recorded == [8, 2]


@settings(deadline=None, max_examples=20)
@given(count=st.integers(1, 20), capacity=st.sampled_from([16, 48, 64, 200]), longest=st.sampled_from([5, 16]))
def test_batch_that_does_not_fit_is_split(count: int, capacity: int, longest: int) -> None:
    model = make_random_model(make_config("sasrec"))
    histories, times = make_random_histories([1 + place % longest for place in range(count - 1)] + [longest])
    expected = TorchRunner(model, CPU).encode(histories, times).hidden
    shapes = limit_memory(model, max_cells=capacity)
    runner = CudaRunner(model, CPU, capture=CountingCapture())
    for _ in range(2):
        torch.testing.assert_close(runner.encode(histories, times).hidden, expected, rtol=1e-5, atol=1e-5)
    shapes.clear()
    runner.encode(histories, times)
    assert all(rows * length <= capacity for rows, length in shapes), "the learned limit is kept"


def test_long_histories_do_not_limit_batches_of_short_ones() -> None:
    model = make_random_model(make_config("sasrec"))
    shapes = limit_memory(model, max_cells=4 * 64)
    runner = CudaRunner(model, CPU, capture=CountingCapture())
    runner.encode(make_random_histories([60] * 8)[0])
    shapes.clear()
    runner.encode(make_random_histories([10] * 8)[0])
    assert set(shapes) == {(8, 16)}


def test_recordings_are_released_before_a_smaller_part_runs() -> None:
    model, capture = make_random_model(make_config("sasrec")), CountingCapture()
    limit_memory(model, max_cells=4 * 16)
    runner = CudaRunner(model, CPU, capture=capture)
    histories, _ = make_random_histories([10] * 8)
    for rows in (2, 8, 2):
        runner.encode(histories[:rows])
    assert capture.recorded == [2, 4, 2], "the recording of two was released when eight did not fit"


def test_single_history_that_does_not_fit_raises() -> None:
    model = make_random_model(make_config("sasrec"))
    limit_memory(model, max_cells=10)
    with pytest.raises(torch.OutOfMemoryError):
        CudaRunner(model, CPU, capture=CountingCapture()).encode(make_random_histories([3, 4])[0])


def test_invalid_batch_raises_and_does_not_affect_the_next() -> None:
    model = make_random_model(make_config("blossom"))
    runner = CudaRunner(model, CPU, capture=CountingCapture())
    histories, times = make_random_histories([5, 9])
    for bad, bad_times in (([], None), ([histories[0], histories[0][:0]], None), (histories, times[:1] * 2)):
        with pytest.raises(ValueError, match=r"history|histories|times"):
            runner.encode(bad, bad_times)
    expected = TorchRunner(model, CPU).encode(histories, times).hidden
    torch.testing.assert_close(runner.encode(histories, times).hidden, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device_name", DEVICES)
def test_only_a_runner_that_agrees_with_torch_is_used(device_name: str) -> None:
    device = torch.device(device_name)
    model, other = make_random_model(make_config("blossom")), make_random_model(make_config("blossom"), seed=1)
    runner = build_cuda_runner(model, TorchRunner(model, device), device, make_capture(device))
    assert isinstance(runner, CudaRunner)
    with pytest.raises(OSError, match="differs from torch by"):
        build_cuda_runner(model, TorchRunner(other, device), device, make_capture(device))


@ON_CUDA
@pytest.mark.optional
@pytest.mark.parametrize("preset", PRESETS)
def test_gpu_uses_recordings_unless_native_code_is_off(preset: str) -> None:
    model, device = make_random_model(make_config(preset)), torch.device("cuda")
    assert isinstance(choose_runner(model, device), CudaRunner)
    assert isinstance(choose_runner(model, device, native=False), TorchRunner)


def test_runner_is_freed_with_its_last_reference() -> None:
    """The heap of a service is frozen, so a reference cycle would keep the previous version forever."""
    runner = CudaRunner(make_random_model(make_config("sasrec")), CPU, capture=CountingCapture())
    runner.encode([np.array([1, 2, 3])])
    reference = weakref.ref(runner)
    gc.disable()
    try:
        del runner
        assert reference() is None
    finally:
        gc.enable()
