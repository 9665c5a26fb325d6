"""The rules that choose training options for the time at hand."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.speed import EvaluationSpeed
from models.training.choices import (
    MAX_COUNTED_EPOCHS,
    MAX_COUNTING_SHARE,
    MAX_EPOCHS,
    MIN_BATCH_SPEED,
    MIN_EPOCHS,
    MIN_STEPS,
    PLANNABLE,
    choose_batch_cells,
    choose_initial_vectors,
    choose_negatives,
    choose_options,
    choose_rate,
    choose_second_stage_rate,
)
from models.training.options import TrainingOptions
from models.training.step_cost import StepCost, StepTiming, fit_costs

SPEED = EvaluationSpeed(0.1, 1 / 5000)
COST = StepCost(
    fixed_s=0.01, target_s=2e-5, score_s=1e-8, batch_cells=4096, batch_targets=3700, epoch_targets=1_000_000
)
SECONDS = st.floats(1e-2, 1e5)
COSTS = st.builds(
    StepCost,
    fixed_s=st.floats(0, 0.1),
    target_s=st.floats(1e-6, 1e-3),
    score_s=st.floats(0, 1e-6),
    batch_cells=st.just(4096),
    batch_targets=st.floats(500, 4096),
    epoch_targets=st.integers(1000, 10**8),
)


def test_large_catalogue_is_sampled_when_time_is_short_and_full_when_it_is_not() -> None:
    assert choose_negatives(COST, 4096, 40_000, 60) == 1024
    assert choose_negatives(COST, 4096, 40_000, 1e6) is None
    assert choose_negatives(COST, 4096, 900, 60) is None, "sampling would not save anything"


@given(COSTS, SECONDS, SECONDS, st.integers(10, 200_000))
def test_more_time_never_means_fewer_candidates(cost: StepCost, first: float, second: float, num_items: int) -> None:
    few, many = (choose_negatives(cost, 4096, num_items, time) or num_items for time in sorted((first, second)))
    assert few <= many
    if many > 2048:
        assert cost.estimate_epoch_s(4096, many) * MIN_EPOCHS <= max(first, second), "enough epochs fit"


def test_noisy_timing_does_not_choose_the_full_catalogue() -> None:
    """A timing under load may show no cost of a score."""
    cost = dataclasses.replace(COST, score_s=0.0)
    assert choose_negatives(cost, 4096, 40_000, 40) == 1024


def test_short_run_starts_from_counts_unless_they_take_too_long() -> None:
    assert choose_initial_vectors(MAX_COUNTED_EPOCHS, MAX_COUNTING_SHARE) == "counts"
    assert choose_initial_vectors(MAX_COUNTED_EPOCHS + 1, MAX_COUNTING_SHARE) == "random"
    assert choose_initial_vectors(MAX_COUNTED_EPOCHS, 2 * MAX_COUNTING_SHARE) == "random"


@given(COSTS, SECONDS)
def test_batch_shrinks_only_for_more_steps_and_at_little_cost(cost: StepCost, train_s: float) -> None:
    cells = choose_batch_cells(cost, 1024, train_s)
    if cells < 4096:
        assert train_s / cost.estimate_step_s(4096, 1024) < MIN_STEPS
        assert cost.estimate_targets_per_s(cells, 1024) >= MIN_BATCH_SPEED * cost.estimate_targets_per_s(4096, 1024)


@given(COSTS, SECONDS, st.sets(st.sampled_from(PLANNABLE)), st.integers(10, 200_000))
def test_only_planned_options_are_chosen(cost: StepCost, stage_s: float, planned: set[str], num_items: int) -> None:
    options = TrainingOptions(epochs=7, learning_rate=0.5, num_negatives=33, batch_cells=4096)
    choices, epochs = choose_options(cost, options, num_items, stage_s, SPEED, planned)
    assert set(choices) & set(PLANNABLE) <= planned
    assert 0 < epochs <= (MAX_EPOCHS if "epochs" in planned else 7)
    assert choices["warmup_steps"] <= options.warmup_steps
    assert choices["validation_cases"] <= options.validation_cases


def test_validation_is_rarer_and_smaller_in_short_runs() -> None:
    planned = set(PLANNABLE)
    short, _ = choose_options(COST, TrainingOptions(), 3000, 40, SPEED, planned)
    long, epochs = choose_options(COST, TrainingOptions(), 3000, 3000, SPEED, planned)
    assert short["validation_cases"] < long["validation_cases"]
    assert epochs / long["validate_every"] <= 15
    assert long["learning_rate"] == 2e-3
    assert short["schedule"] == "linear"


@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_more_targets_per_item_never_mean_a_higher_rate(first: float, second: float) -> None:
    few, many = sorted((first, second))
    assert 8e-3 >= choose_rate(few) >= choose_rate(many) >= 2e-3


def test_items_that_are_rare_targets_get_a_rate_several_times_as_high() -> None:
    assert choose_rate(9) == pytest.approx(8e-3)
    assert choose_rate(50) == pytest.approx(4e-3)
    assert choose_rate(1_000) == 2e-3


def test_second_stage_has_a_higher_rate_where_items_are_often_targets() -> None:
    assert choose_second_stage_rate(9) < choose_second_stage_rate(290) < 1
    choices, _ = choose_options(COST, TrainingOptions(), 3_416, 600, SPEED, set(PLANNABLE))
    second = dataclasses.replace(TrainingOptions(), **choices).to_second_stage()
    assert second.learning_rate == pytest.approx(choices["learning_rate"] * choose_second_stage_rate(290))


def test_gbce_keeps_its_negatives() -> None:
    choices, _ = choose_options(COST, TrainingOptions(loss="gbce"), 40_000, 60, SPEED, set(PLANNABLE))
    assert "num_negatives" not in choices


@given(st.floats(0, 0.1), st.floats(1e-6, 1e-4), st.floats(0, 1e-7))
def test_costs_are_recovered_from_three_timings(fixed_s: float, target_s: float, score_s: float) -> None:
    def time_step(targets: int, candidates: int) -> StepTiming:
        return StepTiming(targets, fixed_s + targets * (target_s + candidates * score_s), candidates)

    costs = fit_costs(time_step(3000, 1024), time_step(3000, 4096), time_step(700, 1024))
    assert costs == pytest.approx((fixed_s, target_s, score_s), rel=1e-6, abs=1e-9)


def test_noisy_timings_give_no_negative_costs() -> None:
    costs = fit_costs(StepTiming(3000, 1.0, 1024), StepTiming(3000, 0.9, 4096), StepTiming(700, 1.1, 1024))
    assert min(costs) >= 0
    assert fit_costs(StepTiming(10, 1.0, 5), None, None) == pytest.approx((0.0, 0.1, 0.0))
