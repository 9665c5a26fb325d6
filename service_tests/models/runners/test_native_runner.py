"""Native runner: equal to torch for all models, levels, lengths, times and threads; invalid input raises."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import ModelConfig, Part
from models.native.library import Library
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.native_runner import NativeRunner
from models.runners.packed_model import is_supported
from models.runners.torch_runner import TorchRunner
from service_tests.models.native.native_library import build_library_or_skip
from service_tests.models.runners.random_models import (
    NUM_ITEMS,
    make_config,
    make_random_histories,
    make_random_model,
    make_request_times,
)

CPU = torch.device("cpu")
LENGTHS = [1, 2, 7, 8, 9, 16, 17, 33, 63, 64, 65, 66, 200, 250]
PRESETS = ["blossom", "sasrec"]


@pytest.fixture(scope="module")
def library() -> Library:
    return build_library_or_skip()


@pytest.fixture(params=["avx512", "avx2", "generic"])
def level(request: pytest.FixtureRequest, library: Library) -> int:
    if request.param not in library.levels:
        pytest.skip(f"this processor does not run {request.param}")
    return library.levels.index(request.param)


@pytest.fixture
def threads() -> Iterator[None]:
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


def compute_difference(
    model: SequentialRecommender, runner: Runner, lengths: list[int], with_times: bool = True
) -> float:
    """Compute the largest difference from torch, relative to the largest value."""
    histories, times = make_random_histories(lengths)
    batch_times = times if with_times and model.reads_times else None
    requests = None if batch_times is None else make_request_times(times)
    actual = runner.encode(histories, batch_times, requests).hidden
    expected = TorchRunner(model, CPU).encode(histories, batch_times, requests).hidden
    assert actual.shape == expected.shape
    assert actual.dtype == torch.float32
    return float((actual - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("with_times", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_native_equals_torch_on_every_processor_level(
    name: str, with_times: bool, level: int, library: Library
) -> None:
    model = make_random_model(make_config(name))
    assert compute_difference(model, NativeRunner(model, library, level), LENGTHS, with_times) < 1e-5


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("dim", [16, 32, 64, 128])
@pytest.mark.parametrize("name", PRESETS)
def test_native_equals_torch_for_every_size(name: str, dim: int, heads: int, level: int, library: Library) -> None:
    model = make_random_model(make_config(name, dim=dim, max_len=40, heads=heads, hidden=48))
    assert compute_difference(model, NativeRunner(model, library, level), [1, 2, 17, 39, 40, 50]) < 1e-5


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("blossom", {"layers": 4, "window": 1}),
        ("blossom", {"layers": 3, "window": 13}),
        ("blossom", {"window": 500}),
        ("sasrec", {"layers": 1}),
        ("sasrec", {"layers": 4}),
    ],
)
def test_native_equals_torch_with_other_layers_and_windows(
    name: str, options: dict[str, int], library: Library
) -> None:
    model = make_random_model(make_config(name, max_len=150, **options))
    assert compute_difference(model, NativeRunner(model, library), [1, 3, 14, 128, 129, 150, 151]) < 1e-5


@pytest.mark.parametrize(
    "embedding",
    [
        Part("codes", {"splits": 4, "codebook": 16}),
        Part("codes", {"splits": 32, "codebook": 200}),
        Part("codes", {"splits": 1}),
        Part("codes", {"levels": 16}),
        Part("codes", {"levels": 8}),
        Part("full"),
    ],
)
@pytest.mark.parametrize("intervals", [True, False])
@pytest.mark.parametrize("periods", [0, 1, 2, 64])
@pytest.mark.parametrize("request_times", [True, False])
def test_native_equals_torch_for_every_embedding(
    embedding: Part, intervals: bool, periods: int, request_times: bool, library: Library
) -> None:
    times = {"intervals": intervals, "periods": periods, "request_times": request_times}
    config = dataclasses.replace(make_config("blossom", max_len=40), embedding=embedding, **times)  # type: ignore[arg-type]
    model = make_random_model(config)
    runner = NativeRunner(model, library)
    for with_times in (True, False):
        assert compute_difference(model, runner, [1, 9, 40], with_times) < 1e-5


MODELS = {name: make_random_model(make_config(name, dim=32, max_len=300)) for name in PRESETS}


@settings(deadline=None, max_examples=40)
@given(name=st.sampled_from(PRESETS), lengths=st.lists(st.integers(1, 330), min_size=1, max_size=12))
def test_native_equals_torch_on_any_batch(name: str, lengths: list[int]) -> None:
    model = MODELS[name]
    assert compute_difference(model, NativeRunner(model, build_library_or_skip()), lengths) < 1e-5


def test_native_equals_torch_for_long_histories(library: Library) -> None:
    model = make_random_model(make_config("blossom", max_len=2048))
    assert compute_difference(model, NativeRunner(model, library), [2048, 1025, 3]) < 1e-5


@pytest.mark.parametrize("name", PRESETS)
def test_large_weights_saturate_as_in_torch(name: str, library: Library) -> None:
    """Scores in the thousands, gates closed and open: saturated as in torch, never NaN."""
    model = make_random_model(make_config(name, max_len=60))
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(20)
    histories, _ = make_random_histories([1, 30, 60])
    actual = NativeRunner(model, library).encode(histories).hidden
    torch.testing.assert_close(actual, TorchRunner(model, CPU).encode(histories).hidden, rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("name", PRESETS)
def test_threads_do_not_change_results(name: str, library: Library) -> None:
    model = make_random_model(make_config(name))
    runner, (histories, _) = NativeRunner(model, library), make_random_histories([5, 200, 17, 64, 3, 150] * 4)
    batch = runner.encode(histories).hidden
    torch.set_num_threads(1)
    assert torch.equal(batch, runner.encode(histories).hidden)
    for row, history in enumerate(histories):
        assert torch.equal(runner.encode([history]).hidden[0], batch[row]), "nor does the rest of the batch"


def test_invalid_histories_raise(library: Library) -> None:
    model = make_random_model(make_config("blossom"))
    runner, history = NativeRunner(model, library), np.array([1, 2])
    with pytest.raises(ValueError, match="no histories"):
        runner.encode([])
    with pytest.raises(ValueError, match="at least one item"):
        runner.encode([history, history[:0]])
    with pytest.raises(ValueError, match="one value for each event"):
        runner.encode([history], [np.zeros(3, dtype=np.uint32)])
    with pytest.raises(ValueError, match="one value for each history"):
        runner.encode([history], None, np.zeros(2, dtype=np.uint32))
    for outside in (NUM_ITEMS + 1, -1, 2**40):
        with pytest.raises(IndexError, match="not in the catalogue"):
            runner.encode([history, np.array([1, outside])])


@pytest.mark.parametrize(
    "config",
    [
        make_config("sasrec", positions="learned"),
        make_config("sasrec", layers=4, sharing="cross_layer"),
        make_config("sasrec", hidden=40),
        make_config("blossom", dim=24),
        make_config("blossomrec"),
        make_config("lsan"),
        make_config("popular", dim=16),
        dataclasses.replace(make_config("sasrec"), embedding=Part("blocks")),
    ],
    ids=lambda config: f"{config.encoder.name}-{config.embedding.name}-{config.dim}",
)
def test_unsupported_model_raises(config: ModelConfig, library: Library) -> None:
    model = make_random_model(config)
    assert not is_supported(model)
    with pytest.raises(ValueError, match="does not support"):
        NativeRunner(model, library)
    assert not is_supported(make_random_model(make_config("sasrec")).double())
