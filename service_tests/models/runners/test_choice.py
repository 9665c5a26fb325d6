"""Choice of the runner, and detection of a runner that disagrees with torch."""

import logging

import numpy as np
import pytest
import torch

from models.artifact import load_artifact
from models.predictor import Predictor
from models.runners import choice
from models.runners.choice import choose_runner, compare_runners
from models.runners.native_runner import NativeRunner
from models.runners.torch_runner import TorchRunner
from service_tests.models.native.native_library import build_library_or_skip
from service_tests.models.runners.random_models import make_config, make_random_histories, make_random_model
from service_tests.support.artifacts import write_tiny_artifact

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def native_library(monkeypatch: pytest.MonkeyPatch) -> None:
    library = build_library_or_skip()
    monkeypatch.setattr(choice, "load_library", lambda: library)


@pytest.mark.parametrize("name", ["blossom", "sasrec"])
def test_native_runs_supported_models_and_torch_the_others(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert isinstance(choose_runner(make_random_model(make_config(name)), CPU), NativeRunner)
    assert isinstance(choose_runner(make_random_model(make_config("cprec")), CPU), TorchRunner)
    assert isinstance(choose_runner(make_random_model(make_config(name)), CPU, native=False), TorchRunner)
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        "the model runs on native",
        "the model runs on torch: native code does not support it",
        "the model runs on torch: native code is off",
    ]
    assert {record.levelno for record in caplog.records} == {logging.INFO}, "nothing to act on"


@pytest.mark.parametrize(
    "part", ["encoder.norm.bias", "encoder.blocks.0.attention.qkv.weight", "intervals.vectors.weight"]
)
def test_native_runner_with_other_weights_is_detected(part: str) -> None:
    """The runner copied or shares weights of the first model; the reference runs the second."""
    model = make_random_model(make_config("blossom"))
    runner = NativeRunner(model, build_library_or_skip())
    assert compare_runners(model, runner, TorchRunner(model, CPU)) < choice.TOLERANCE
    other = make_random_model(make_config("blossom"))
    with torch.no_grad():
        other.get_parameter(part).mul_(1.05)
    assert compare_runners(other, runner, TorchRunner(other, CPU)) > choice.TOLERANCE


def test_native_runner_that_differs_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "TOLERANCE", 1e-12)  # summation in another order differs by more
    assert isinstance(choose_runner(make_random_model(make_config("sasrec")), CPU), TorchRunner)
    assert "differs from torch by" in caplog.text


def test_runner_that_returns_nan_is_not_used() -> None:
    model = make_random_model(make_config("sasrec"))
    with torch.no_grad():
        model.get_parameter("encoder.norm.bias").fill_(torch.nan)
    assert isinstance(choose_runner(model, CPU), TorchRunner)


def test_torch_runs_without_a_native_library(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(choice, "load_library", lambda: None)
    assert isinstance(choose_runner(make_random_model(make_config("cprec")), CPU), TorchRunner)
    assert caplog.records == [], "no warning for a model that native code does not support"
    assert isinstance(choose_runner(make_random_model(make_config("sasrec")), CPU), TorchRunner)
    assert "is not built" in caplog.text


@pytest.mark.parametrize("preset", ["blossom", "sasrec"])
def test_artifact_returns_the_same_items_with_both_runners(preset: str, tmp_path: object) -> None:
    folder = write_tiny_artifact(tmp_path, preset=preset)  # type: ignore[arg-type]
    predictors = [load_artifact(folder, device="cpu", native=native).predictor for native in (True, False)]
    assert [type(predictor.runner) for predictor in predictors] == [NativeRunner, TorchRunner]
    histories, times = make_random_histories([1, 5, 40, 50], num_items=60)
    native, reference = (predictor.top_k(histories, 10, times=times) for predictor in predictors)
    np.testing.assert_allclose(native.scores, reference.scores, rtol=1e-4, atol=1e-4)
    assert np.array_equal(native.indices, reference.indices)
    assert native.padding_ratio == 0.0
    assert reference.padding_ratio > 0.0


def test_predictor_uses_weights_that_change() -> None:
    """Training evaluates with one predictor while weights change: it must not run on a packed copy."""
    model = make_random_model(make_config("sasrec"))
    predictor, history = Predictor(model, CPU), [np.array([1, 2, 3])]
    before = predictor.top_k(history, 5).scores
    with torch.no_grad():
        model.get_parameter("encoder.norm.bias").add_(1.0)
    assert not np.array_equal(predictor.top_k(history, 5).scores, before)
