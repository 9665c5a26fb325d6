"""Whether a validation curve still rises, and how much longer it would."""

import pytest

from models.training.checkpoint import EpochRecord
from models.training.convergence import assess_convergence


def make_curve(values: list[float], rates: list[float] | None = None, *, every: int = 1) -> list[EpochRecord]:
    """Epochs of a minute; `every` epochs are validated."""
    rates = rates or [0.001] * len(values)
    return [
        EpochRecord(
            epoch=every * number, loss=1.0, ndcg=value, hr=value, seconds=60.0, targets_per_s=1.0, learning_rate=rate
        )
        for number, (value, rate) in enumerate(zip(values, rates, strict=True), start=1)
    ]


@pytest.mark.parametrize(
    "values", [[], [0.1, 0.2, 0.2, 0.19, 0.19], [0.1, 0.2, 0.2001], [0.1, 0.15, 0.2, 0.2, 0.1999, 0.2001]]
)
def test_curve_that_is_flat_or_falls_has_converged(values: list[float]) -> None:
    convergence = assess_convergence(make_curve(values))
    assert convergence.is_converged
    assert convergence.describe() is None


@pytest.mark.parametrize("values", [[0.1], [0.0], [0.0, 0.0], [0.0, 0.1], [0.0, 0.0, 0.0, 0.2]])
def test_curve_without_a_gain_is_not_judged(values: list[float]) -> None:
    convergence = assess_convergence(make_curve(values))
    assert (convergence.is_converged, convergence.minutes) == (None, None)
    assert "cannot be judged" in str(convergence.describe())
    assert "%" not in str(convergence.describe())


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1, 0.12, 0.15, 0.2]])
def test_steep_or_short_curve_has_not_converged_and_gives_no_time(values: list[float]) -> None:
    convergence = assess_convergence(make_curve(values))
    assert not convergence.is_converged
    assert convergence.minutes is None
    assert "cannot be estimated" in str(convergence.describe())


def test_falling_gains_give_the_time_until_a_gain_is_small() -> None:
    values = [0.11]
    for number in range(4):
        values.append(values[-1] + 0.08 * 0.5**number)
    convergence = assess_convergence(make_curve(values))
    assert not convergence.is_converged
    assert convergence.gain == pytest.approx(0.01 / 0.26)
    # gains of 0.005 and 0.0025 follow; the second one is below 1 % of 0.26
    assert convergence.minutes == pytest.approx(2.0)
    assert assess_convergence(make_curve(values, every=3)).minutes == pytest.approx(6.0)
    assert (
        "still rose by 3.8% over the last epochs before the learning rate fell; it would need about 2 more minutes"
        in str(convergence.describe())
    )


def test_rise_during_the_decay_of_a_linear_schedule_is_not_judged() -> None:
    flat, steep = [0.1, 0.15, 0.2, 0.2, 0.2], [0.1, 0.12, 0.14, 0.16, 0.2]
    decay, rates = [0.21, 0.23, 0.25], [0.001] * 5 + [0.0008, 0.0005, 0.0002]
    assert assess_convergence(make_curve([*flat, *decay], rates)).is_converged
    assert not assess_convergence(make_curve([*steep, *decay], rates)).is_converged
    halved_once = [0.001] * 7 + [0.0005]
    assert not assess_convergence(make_curve([*flat, *decay], halved_once)).is_converged
