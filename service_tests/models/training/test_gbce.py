"""Training by gBCE from the options on: negatives, power, refusals, and that it learns."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.evaluation.evaluate import evaluate
from models.heads.base import UniformNegatives
from models.layers.calibrated_binary_cross_entropy import compute_positive_power
from models.predictor import Predictor
from models.training.negatives import PopularitySampler, UniformSampler, create_sampler
from models.training.options import TrainingOptions
from service_tests.models.training.test_trainer import OPTIONS, trainer

CPU = torch.device("cpu")
GBCE = dataclasses.replace(OPTIONS, loss="gbce", num_negatives=20)


def test_it_learns_what_popularity_cannot(tmp_path: Path) -> None:
    """Its start is slow: before it orders the items it learns that most are negatives, and orders them worse then."""
    options = dataclasses.replace(GBCE, epochs=50, batch_cells=64, patience=50, plateau=50)
    run = trainer(tmp_path, options)
    run.run()
    assert run.curve[-1].ndcg > 0.8
    assert evaluate(Predictor(run.model, CPU), run.dataset, "test").values["ndcg@10"] > 0.8
    assert run.curve[-1].loss < 0.7 * loss_of_one_score_for_all(20, 30, GBCE.calibration) < 0.7 * run.curve[0].loss


def loss_of_one_score_for_all(negatives: int, items: int, calibration: float) -> float:
    """The least that a model can get to which tells no item from another."""
    beta = compute_positive_power(negatives, items, calibration)
    share = beta / (beta + negatives)
    return -(beta * math.log(share) + negatives * math.log(1 - share)) / (negatives + 1)


def test_the_softmax_head_of_a_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="AdaptiveHead cannot be trained by gBCE"):
        trainer(tmp_path, GBCE, "cprec").run()


def test_the_loss_chooses_how_negatives_are_drawn() -> None:
    counts = np.ones(400, dtype=np.int64)
    assert create_sampler(TrainingOptions(), counts, CPU) is None
    assert isinstance(create_sampler(TrainingOptions(num_negatives=5), counts, CPU), PopularitySampler)
    sampler = create_sampler(TrainingOptions(loss="gbce", num_negatives=133, calibration=0.3), counts, CPU)
    assert isinstance(sampler, UniformSampler)
    negatives = sampler.draw()
    assert isinstance(negatives, UniformNegatives)
    assert negatives.items.shape == (133,)
    assert negatives.beta == pytest.approx(1 - 0.3 * (1 - 133 / 399))


def test_negatives_are_uniform_and_never_padding() -> None:
    torch.manual_seed(0)
    items = UniformSampler(10, 100_000, 0.75, CPU).draw().items
    times = torch.bincount(items, minlength=11)
    assert times[0] == 0
    torch.testing.assert_close(times[1:].float(), torch.full((10,), 10_000.0), rtol=0.05, atol=0)


def test_negatives_are_256_unless_said_otherwise_and_never_more_than_there_are() -> None:
    options = TrainingOptions(loss="gbce")
    assert options.resolve_num_negatives(10**6) == 256
    assert options.resolve_num_negatives(100) == 99
    assert dataclasses.replace(options, num_negatives=8).resolve_num_negatives(10**6) == 8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "hinge"}, "no loss is called 'hinge'; there are softmax, gbce"),
        ({"loss": "gbce", "calibration": 1.5}, r"calibration must be in \[0, 1\], not 1.5"),
        ({"loss": "gbce", "num_negatives": 0}, "num_negatives must be 1 or more"),
    ],
)
def test_impossible_options_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**given)  # type: ignore[arg-type]
