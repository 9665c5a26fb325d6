"""Which runner is chosen, and that a model with the wrong one is noticed."""

import logging

import numpy as np
import pytest
import torch

from models.artifact import load_artifact
from models.predictor import Predictor
from models.runners import choice
from models.runners.choice import choose_runner, largest_difference
from models.runners.native_runner import NativeRunner
from models.runners.torch_runner import TorchRunner
from service_tests.models.native.native_library import built_library
from service_tests.models.runners.random_models import config_of, random_histories, random_model
from service_tests.support.artifacts import write_tiny_artifact

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def the_library_that_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built = built_library()
    monkeypatch.setattr(choice, "library", lambda: built)


@pytest.mark.parametrize("name", ["blossom", "sasrec"])
def test_native_runs_what_it_knows_and_torch_the_rest(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert isinstance(choose_runner(random_model(config_of(name)), CPU), NativeRunner)
    assert isinstance(choose_runner(random_model(config_of("cprec")), CPU), TorchRunner)
    assert isinstance(choose_runner(random_model(config_of(name)), CPU, native=False), TorchRunner)
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        "the model runs on native",
        "the model runs on torch: native code does not know it",
        "the model runs on torch: as it was asked for",
    ]
    assert {record.levelno for record in caplog.records} == {logging.INFO}, "nothing that anyone must do"


@pytest.mark.parametrize(
    "part", ["encoder.norm.bias", "encoder.blocks.0.attention.qkv.weight", "intervals.vectors.weight"]
)
def test_native_weights_that_are_not_those_of_the_model_are_noticed(part: str) -> None:
    """The runner copied or points to weights; the reference then has others."""
    model = random_model(config_of("blossom"))
    runner = NativeRunner(model, built_library())
    assert largest_difference(model, runner, TorchRunner(model, CPU)) < choice.TOLERANCE
    other = random_model(config_of("blossom"))
    with torch.no_grad():
        other.get_parameter(part).mul_(1.05)
    assert largest_difference(other, runner, TorchRunner(other, CPU)) > choice.TOLERANCE


def test_native_answers_that_differ_too_much_are_not_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "TOLERANCE", 1e-12)  # floats in another order differ by more
    assert isinstance(choose_runner(random_model(config_of("sasrec")), CPU), TorchRunner)
    assert "differ from torch's by" in caplog.text


def test_answers_that_are_no_numbers_are_not_trusted() -> None:
    model = random_model(config_of("sasrec"))
    with torch.no_grad():
        model.get_parameter("encoder.norm.bias").fill_(torch.nan)
    assert isinstance(choose_runner(model, CPU), TorchRunner)


def test_without_a_library_torch_runs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(choice, "library", lambda: None)
    assert isinstance(choose_runner(random_model(config_of("cprec")), CPU), TorchRunner)
    assert caplog.records == [], "which nobody misses who could not use it"
    assert isinstance(choose_runner(random_model(config_of("sasrec")), CPU), TorchRunner)
    assert "was not built" in caplog.text


@pytest.mark.parametrize("preset", ["blossom", "sasrec"])
def test_an_artifact_answers_the_same_with_either_runner(preset: str, tmp_path: object) -> None:
    folder = write_tiny_artifact(tmp_path, preset=preset)  # type: ignore[arg-type]
    predictors = [load_artifact(folder, device="cpu", native=native).predictor for native in (True, False)]
    assert [type(predictor.runner) for predictor in predictors] == [NativeRunner, TorchRunner]
    histories, times = random_histories([1, 5, 40, 50], num_items=60)
    native, reference = (predictor.top_k(histories, 10, times=times) for predictor in predictors)
    np.testing.assert_allclose(native.scores, reference.scores, rtol=1e-4, atol=1e-4)
    assert np.array_equal(native.indices, reference.indices)
    assert native.padding_ratio == 0.0
    assert reference.padding_ratio > 0.0


def test_a_predictor_follows_weights_that_change() -> None:
    """Training evaluates with one predictor while weights move: it must not run on a packed copy."""
    model = random_model(config_of("sasrec"))
    predictor, history = Predictor(model, CPU), [np.array([1, 2, 3])]
    before = predictor.top_k(history, 5).scores
    with torch.no_grad():
        model.get_parameter("encoder.norm.bias").add_(1.0)
    assert not np.array_equal(predictor.top_k(history, 5).scores, before)
