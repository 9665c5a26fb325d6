"""The latency model learns the law of its batches, adapts to changes and stays stable without variation."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batching.latency_model import MIN_BATCHES, BatchLatencyModel


def observe_batches(
    model: BatchLatencyModel, fixed_s: float, entry_s: float, cost_s: float, batches: int, seed: int = 0
) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        entries = int(rng.integers(1, 33))
        cost = float(rng.integers(1, 201, entries).sum())
        noise = rng.uniform(0.9, 1.1)
        model.observe(entries, cost, noise * (fixed_s + entry_s * entries + cost_s * cost))


@settings(deadline=None, max_examples=30)
@given(
    fixed_s=st.floats(0, 0.01), entry_s=st.floats(1e-5, 0.001), cost_s=st.floats(1e-7, 1e-4), seed=st.integers(0, 99)
)
def test_predictions_follow_the_law_of_the_batches(fixed_s: float, entry_s: float, cost_s: float, seed: int) -> None:
    model = BatchLatencyModel()
    observe_batches(model, fixed_s, entry_s, cost_s, 300, seed)
    for entries, cost in ((32, 32 * 100.0), (16, 16 * 50.0)):
        expected = fixed_s + entry_s * entries + cost_s * cost
        assert abs(model.predict(1, entries, cost) - expected) < 0.15 * expected
        assert abs(model.predict(3, 3 * entries, 3 * cost) - 3 * expected) < 0.45 * expected
    assert 80 < model.mean_cost < 120


def test_slower_machine_is_learned_within_a_few_hundred_batches() -> None:
    model = BatchLatencyModel()
    observe_batches(model, 0.001, 0.0001, 0.0, 5000)
    observe_batches(model, 0.004, 0.0004, 0.0, 400)
    assert 0.9 < model.predict(1, 16, 1600.0) / (0.004 + 16 * 0.0004) < 1.1


def test_identical_batches_do_not_destabilize_the_model() -> None:
    model = BatchLatencyModel()
    for _ in range(50_000):
        model.observe(8, 800.0, 0.002)
    assert abs(model.predict(1, 8, 800.0) - 0.002) < 1e-5
    observe_batches(model, 0.001, 0.0001, 0.0, 300)
    assert 0.85 < model.predict(1, 16, 1600.0) / 0.0026 < 1.15


def test_model_is_not_ready_before_min_batches() -> None:
    model = BatchLatencyModel()
    observe_batches(model, 0.001, 0.0001, 0.0, MIN_BATCHES - 1)
    assert not model.is_ready
    observe_batches(model, 0.001, 0.0001, 0.0, 1)
    assert model.is_ready
