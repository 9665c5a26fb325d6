"""Training with gBCE: negatives, power, validation of options, and learning."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import Part
from models.evaluation.evaluate import evaluate
from models.heads.base import UniformNegatives
from models.layers.calibrated_binary_cross_entropy import compute_positive_power
from models.predictor import Predictor
from models.training.negatives import PopularitySampler, UniformSampler, create_sampler
from models.training.options import TrainingOptions
from service_tests.models.training.test_trainer import OPTIONS, make_trainer

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
GBCE = dataclasses.replace(OPTIONS, loss="gbce", num_negatives=20)


def test_gbce_learns_what_popularity_cannot(tmp_path: Path) -> None:
    """It starts slowly: it first learns that most items are negatives, and ranks worse meanwhile."""
    options = dataclasses.replace(GBCE, epochs=50, batch_cells=64, patience=50, plateau=50)
    run = make_trainer(tmp_path, options)
    run.run()
    assert run.curve[-1].ndcg > 0.8
    assert evaluate(Predictor(run.model, CPU), run.dataset, "test").values["ndcg@10"] > 0.8
    assert run.curve[-1].loss < 0.7 * compute_constant_score_loss(20, 30, GBCE.calibration) < 0.7 * run.curve[0].loss


def compute_constant_score_loss(negatives: int, items: int, calibration: float) -> float:
    """Smallest loss of a model that scores all items alike."""
    beta = compute_positive_power(negatives, items, calibration)
    share = beta / (beta + negatives)
    return -(beta * math.log(share) + negatives * math.log(1 - share)) / (negatives + 1)


def test_tree_softmax_head_does_not_support_gbce(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="AdaptiveHead cannot be trained by gBCE"):
        make_trainer(tmp_path, GBCE, head=Part("adaptive")).run()


def test_loss_selects_the_sampler() -> None:
    counts = np.ones(400, dtype=np.int64)
    assert create_sampler(TrainingOptions(), counts, CPU) is None
    assert isinstance(create_sampler(TrainingOptions(num_negatives=5), counts, CPU), PopularitySampler)
    sampler = create_sampler(TrainingOptions(loss="gbce", num_negatives=133, calibration=0.3), counts, CPU)
    assert isinstance(sampler, UniformSampler)
    negatives = sampler.draw()
    assert isinstance(negatives, UniformNegatives)
    assert negatives.items.shape == (133,)
    assert negatives.beta == pytest.approx(1 - 0.3 * (1 - 133 / 399))


def test_uniform_negatives_exclude_padding() -> None:
    torch.manual_seed(0)
    items = UniformSampler(10, 100_000, 0.75, CPU).draw().items
    times = torch.bincount(items, minlength=11)
    assert times[0] == 0
    torch.testing.assert_close(times[1:].float(), torch.full((10,), 10_000.0), rtol=0.05, atol=0)


def test_number_of_negatives_defaults_to_256_and_is_at_most_all_other_items() -> None:
    options = TrainingOptions(loss="gbce")
    assert options.resolve_num_negatives(10**6) == 256
    assert options.resolve_num_negatives(100) == 99
    assert dataclasses.replace(options, num_negatives=8).resolve_num_negatives(10**6) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of softmax, gbce .got 'hinge'."),
        ({"loss": "gbce", "calibration": 1.5}, r"calibration must be in \[0, 1\] \(got 1.5\)"),
        ({"loss": "gbce", "num_negatives": 0}, "num_negatives must be 1 or more"),
    ],
)
def test_invalid_options_raise(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**options)  # type: ignore[arg-type]
