"""Recorded work gives what plain torch gives, whatever ran in the same memory before, and survives lack of memory.

On a machine without a GPU nothing is recorded, but all else is the same code.
"""

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.presets import PRESETS
from models.runners.choice import choose_runner, recorded
from models.runners.cuda_runner import CudaRunner
from models.runners.torch_runner import TorchRunner
from service_tests.models.runners.random_models import config_of, random_histories, random_model
from service_tests.models.runners.recording import DEVICES, ON_CUDA, Counting, capture_on, give_room

CPU = torch.device("cpu")
LENGTHS = [1, 2, 15, 16, 17, 40, 64, 65, 200, 230]


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_answers_are_those_of_plain_torch(preset: str, where: str) -> None:
    device = torch.device(where)
    model = random_model(config_of(preset))
    runner, reference = CudaRunner(model, device, capture=capture_on(device)), TorchRunner(model, device)
    histories, times = random_histories(LENGTHS)
    for rows in ([9], [0, 1], [3, 9, 2], list(range(10)), [0, 1], [2, 8], [1]):  # large before small, and again
        asked = [histories[row] for row in rows]
        for given_times in (None, [times[row] for row in rows]):
            found, expected = runner.encode(asked, given_times), reference.encode(asked, given_times)
            torch.testing.assert_close(found.hidden, expected.hidden, rtol=1e-4, atol=1e-4)
            assert found.hidden.dtype == torch.float32
            assert 0 <= found.padding_ratio < 1


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("preset", PRESETS)
def test_weights_in_bf16_answer_nearly_the_same_and_leave_the_model_as_it_was(preset: str, where: str) -> None:
    device = torch.device(where)
    model = random_model(config_of(preset))
    runner = CudaRunner(model, device, dtype=torch.bfloat16, capture=capture_on(device))
    histories, times = random_histories(LENGTHS)
    found, expected = runner.encode(histories, times).hidden, TorchRunner(model, device).encode(histories, times).hidden
    cosines = torch.cosine_similarity(found, expected)
    assert found.dtype == torch.float32
    assert cosines.min() > 0.99
    assert {parameter.dtype for parameter in model.parameters()} <= {torch.float32}
    if any(True for _ in model.encoder.parameters()):
        assert not torch.equal(found, expected), "another arithmetic"


def test_an_answer_does_not_change_under_the_next_one() -> None:
    model = random_model(config_of("sasrec"))
    runner = CudaRunner(model, CPU, capture=Counting())
    histories, _ = random_histories([9, 12])
    first = runner.encode(histories[:1]).hidden
    kept = first.clone()
    runner.encode(histories[1:])
    assert torch.equal(first, kept)


def test_a_bucket_is_recorded_once_and_the_least_used_is_let_go() -> None:
    capture = Counting()
    runner = CudaRunner(random_model(config_of("sasrec")), CPU, capture=capture, most=2)
    histories, _ = random_histories([20] * 8)
    for rows in (1, 2, 1, 3, 4, 1):  # buckets of 1, 2, 1, 4, 4 and 1 rows
        runner.encode(histories[:rows])
    assert capture.recorded == [1, 2, 4]
    assert capture.repeated == [1, 2, 1, 4, 4, 1]
    runner.encode(histories[:2])
    assert capture.recorded == [1, 2, 4, 2]


def test_what_cannot_be_recorded_runs_as_it_is_and_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    model, capture = random_model(config_of("sasrec")), Counting(room=2)
    runner = CudaRunner(model, CPU, capture=capture, most=1)
    histories, _ = random_histories([20] * 8)
    expected = TorchRunner(model, CPU).encode(histories).hidden
    for _ in range(2):
        torch.testing.assert_close(runner.encode(histories).hidden, expected, rtol=1e-5, atol=1e-5)
    assert capture.recorded == [8]
    assert capture.repeated == []
    assert "batches of 8 × 32 run without a recording: no room for a recording" in caplog.messages[-1]
    runner.encode(histories[:2])
    assert capture.repeated == [2], "smaller ones are recorded as before"
    runner.encode(histories)
    assert capture.recorded == [8, 2]


@settings(deadline=None, max_examples=20)
@given(count=st.integers(1, 20), room=st.sampled_from([16, 48, 64, 200]), longest=st.sampled_from([5, 16]))
def test_a_batch_that_does_not_fit_is_answered_in_parts(count: int, room: int, longest: int) -> None:
    model = random_model(config_of("sasrec"))
    histories, times = random_histories([1 + place % longest for place in range(count - 1)] + [longest])
    expected = TorchRunner(model, CPU).encode(histories, times).hidden
    tried = give_room(model, cells=room)
    runner = CudaRunner(model, CPU, capture=Counting())
    for _ in range(2):
        torch.testing.assert_close(runner.encode(histories, times).hidden, expected, rtol=1e-5, atol=1e-5)
    tried.clear()
    runner.encode(histories, times)
    assert all(rows * length <= room for rows, length in tried), "what did not fit is remembered"


def test_long_histories_that_do_not_fit_do_not_split_batches_of_short_ones() -> None:
    model = random_model(config_of("sasrec"))
    tried = give_room(model, cells=4 * 64)
    runner = CudaRunner(model, CPU, capture=Counting())
    runner.encode(random_histories([60] * 8)[0])
    tried.clear()
    runner.encode(random_histories([10] * 8)[0])
    assert set(tried) == {(8, 16)}


def test_recordings_make_room_before_a_smaller_part_is_tried() -> None:
    model, capture = random_model(config_of("sasrec")), Counting()
    give_room(model, cells=4 * 16)
    runner = CudaRunner(model, CPU, capture=capture)
    histories, _ = random_histories([10] * 8)
    for rows in (2, 8, 2):
        runner.encode(histories[:rows])
    assert capture.recorded == [2, 4, 2], "the recording of two was let go when eight did not fit"


def test_one_history_that_does_not_fit_is_an_error() -> None:
    model = random_model(config_of("sasrec"))
    give_room(model, cells=10)
    with pytest.raises(torch.OutOfMemoryError):
        CudaRunner(model, CPU, capture=Counting()).encode(random_histories([3, 4])[0])


def test_bad_batches_are_refused_and_leave_the_next_one_alone() -> None:
    model = random_model(config_of("blossom"))
    runner = CudaRunner(model, CPU, capture=Counting())
    histories, times = random_histories([5, 9])
    for bad, bad_times in (([], None), ([histories[0], histories[0][:0]], None), (histories, times[:1] * 2)):
        with pytest.raises(ValueError, match=r"history|histories|times"):
            runner.encode(bad, bad_times)
    expected = TorchRunner(model, CPU).encode(histories, times).hidden
    torch.testing.assert_close(runner.encode(histories, times).hidden, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("where", DEVICES)
def test_only_a_runner_that_answers_as_torch_does_is_trusted(where: str) -> None:
    device = torch.device(where)
    model, other = random_model(config_of("blossom")), random_model(config_of("blossom"), seed=1)
    trusted = recorded(model, TorchRunner(model, device), device, capture_on(device))
    assert isinstance(trusted, CudaRunner)
    with pytest.raises(OSError, match="differ from torch's by"):
        recorded(model, TorchRunner(other, device), device, capture_on(device))


@ON_CUDA
@pytest.mark.parametrize("preset", PRESETS)
def test_a_gpu_gets_recorded_work_unless_torch_alone_was_asked_for(preset: str) -> None:
    model, device = random_model(config_of(preset)), torch.device("cuda")
    assert isinstance(choose_runner(model, device), CudaRunner)
    assert isinstance(choose_runner(model, device, native=False), TorchRunner)


def test_a_runner_is_freed_with_its_last_reference() -> None:
    """As what a service holds at its start is frozen, and a cycle would keep the version before for good."""
    runner = CudaRunner(random_model(config_of("sasrec")), CPU, capture=Counting())
    runner.encode([np.array([1, 2, 3])])
    gone = weakref.ref(runner)
    gc.disable()
    try:
        del runner
        assert gone() is None
    finally:
        gc.enable()
