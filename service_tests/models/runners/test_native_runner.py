"""The native runner says what torch says: models, levels, lengths, times, threads, and what it refuses."""

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
from models.runners.packed_model import knows
from models.runners.torch_runner import TorchRunner
from service_tests.models.native.native_library import built_library
from service_tests.models.runners.random_models import NUM_ITEMS, config_of, random_histories, random_model

CPU = torch.device("cpu")
LENGTHS = [1, 2, 7, 8, 9, 16, 17, 33, 63, 64, 65, 66, 200, 250]
PRESETS = ["blossom", "sasrec"]


@pytest.fixture(scope="module")
def library() -> Library:
    return built_library()


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


def difference(model: SequentialRecommender, runner: Runner, lengths: list[int], with_times: bool = True) -> float:
    """Largest difference from torch, relative to the largest value."""
    histories, times = random_histories(lengths)
    given_times = times if with_times and model.reads_times else None
    found = runner.encode(histories, given_times).hidden
    expected = TorchRunner(model, CPU).encode(histories, given_times).hidden
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("with_times", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_native_equals_torch_on_every_processor_level(
    name: str, with_times: bool, level: int, library: Library
) -> None:
    model = random_model(config_of(name))
    assert difference(model, NativeRunner(model, library, level), LENGTHS, with_times) < 1e-5


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("dim", [16, 32, 64, 128])
@pytest.mark.parametrize("name", PRESETS)
def test_native_equals_torch_in_every_size(name: str, dim: int, heads: int, level: int, library: Library) -> None:
    model = random_model(config_of(name, dim=dim, max_len=40, heads=heads, hidden=48))
    assert difference(model, NativeRunner(model, library, level), [1, 2, 17, 39, 40, 50]) < 1e-5


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
    model = random_model(config_of(name, max_len=150, **options))
    assert difference(model, NativeRunner(model, library), [1, 3, 14, 128, 129, 150, 151]) < 1e-5


@pytest.mark.parametrize(
    "embedding",
    [
        Part("codes", {"splits": 4, "codebook": 16}),
        Part("codes", {"splits": 32, "codebook": 200}),
        Part("codes", {"splits": 1}),
        Part("full"),
    ],
)
@pytest.mark.parametrize("intervals", [True, False])
def test_native_equals_torch_over_every_form_of_item_vectors(
    embedding: Part, intervals: bool, library: Library
) -> None:
    config = dataclasses.replace(config_of("blossom", max_len=40), embedding=embedding, intervals=intervals)
    model = random_model(config)
    assert difference(model, NativeRunner(model, library), [1, 9, 40]) < 1e-5


MODELS = {name: random_model(config_of(name, dim=32, max_len=300)) for name in PRESETS}


@settings(deadline=None, max_examples=40)
@given(name=st.sampled_from(PRESETS), lengths=st.lists(st.integers(1, 330), min_size=1, max_size=12))
def test_native_equals_torch_on_any_batch(name: str, lengths: list[int]) -> None:
    model = MODELS[name]
    assert difference(model, NativeRunner(model, built_library()), lengths) < 1e-5


def test_a_history_of_the_longest_models_is_the_same_too(library: Library) -> None:
    model = random_model(config_of("blossom", max_len=2048))
    assert difference(model, NativeRunner(model, library), [2048, 1025, 3]) < 1e-5


@pytest.mark.parametrize("name", PRESETS)
def test_weights_far_from_rest_give_no_nonsense(name: str, library: Library) -> None:
    """Scores in the thousands, gates shut and open: saturated as in torch, and never a NaN."""
    model = random_model(config_of(name, max_len=60))
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(20)
    histories, _ = random_histories([1, 30, 60])
    found = NativeRunner(model, library).encode(histories).hidden
    torch.testing.assert_close(found, TorchRunner(model, CPU).encode(histories).hidden, rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("name", PRESETS)
def test_threads_do_not_change_a_digit(name: str, library: Library) -> None:
    model = random_model(config_of(name))
    runner, (histories, _) = NativeRunner(model, library), random_histories([5, 200, 17, 64, 3, 150] * 4)
    together = runner.encode(histories).hidden
    torch.set_num_threads(1)
    assert torch.equal(together, runner.encode(histories).hidden)
    for row, history in enumerate(histories):
        assert torch.equal(runner.encode([history]).hidden[0], together[row]), "nor does who shares the batch"


def test_bad_questions_are_refused_before_anything_is_read(library: Library) -> None:
    model = random_model(config_of("blossom"))
    runner, one = NativeRunner(model, library), np.array([1, 2])
    with pytest.raises(ValueError, match="no history was given"):
        runner.encode([])
    with pytest.raises(ValueError, match="at least one item"):
        runner.encode([one, one[:0]])
    with pytest.raises(ValueError, match="times are one for each event"):
        runner.encode([one], [np.zeros(3, dtype=np.uint32)])
    for outside in (NUM_ITEMS + 1, -1, 2**40):
        with pytest.raises(IndexError, match="not in the catalogue"):
            runner.encode([one, np.array([1, outside])])


@pytest.mark.parametrize(
    "config",
    [
        config_of("sasrec", positions="learned"),
        config_of("sasrec", layers=4, sharing="cross_layer"),
        config_of("sasrec", hidden=40),
        config_of("blossom", dim=24),
        config_of("blossomrec"),
        config_of("lsan"),
        config_of("popular", dim=16),
        dataclasses.replace(config_of("sasrec"), embedding=Part("blocks")),
    ],
    ids=lambda config: f"{config.encoder.name}-{config.embedding.name}-{config.dim}",
)
def test_a_model_that_is_not_known_is_not_touched(config: ModelConfig, library: Library) -> None:
    model = random_model(config)
    assert not knows(model)
    with pytest.raises(ValueError, match="does not know"):
        NativeRunner(model, library)
    assert not knows(random_model(config_of("sasrec")).double())
