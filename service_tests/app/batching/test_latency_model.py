"""The forecast of batches finds the law they follow, follows a change, and stays sane where there is none."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batching.latency_model import MIN_BATCHES, BatchLatencyModel


def taught(
    forecast: BatchLatencyModel, fixed_s: float, entry_s: float, work_s: float, batches: int, seed: int = 0
) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        entries = int(rng.integers(1, 33))
        work = float(rng.integers(1, 201, entries).sum())
        noise = rng.uniform(0.9, 1.1)
        forecast.observe(entries, work, noise * (fixed_s + entry_s * entries + work_s * work))


@settings(deadline=None, max_examples=30)
@given(
    fixed_s=st.floats(0, 0.01), entry_s=st.floats(1e-5, 0.001), work_s=st.floats(1e-7, 1e-4), seed=st.integers(0, 99)
)
def test_it_finds_the_law_that_batches_follow(fixed_s: float, entry_s: float, work_s: float, seed: int) -> None:
    forecast = BatchLatencyModel()
    taught(forecast, fixed_s, entry_s, work_s, 300, seed)
    for entries, work in ((32, 32 * 100.0), (16, 16 * 50.0)):
        expected = fixed_s + entry_s * entries + work_s * work
        assert abs(forecast.predict(1, entries, work) - expected) < 0.15 * expected
        assert abs(forecast.predict(3, 3 * entries, 3 * work) - 3 * expected) < 0.45 * expected
    assert 80 < forecast.mean_work < 120


def test_a_slower_machine_is_known_within_some_hundred_batches() -> None:
    forecast = BatchLatencyModel()
    taught(forecast, 0.001, 0.0001, 0.0, 5000)
    taught(forecast, 0.004, 0.0004, 0.0, 400)
    assert 0.9 < forecast.predict(1, 16, 1600.0) / (0.004 + 16 * 0.0004) < 1.1


def test_batches_that_are_all_alike_do_not_make_it_wild() -> None:
    forecast = BatchLatencyModel()
    for _ in range(50_000):
        forecast.observe(8, 800.0, 0.002)
    assert abs(forecast.predict(1, 8, 800.0) - 0.002) < 1e-5
    taught(forecast, 0.001, 0.0001, 0.0, 300)
    assert 0.85 < forecast.predict(1, 16, 1600.0) / 0.0026 < 1.15


def test_nothing_is_foretold_before_some_batches_ran() -> None:
    forecast = BatchLatencyModel()
    taught(forecast, 0.001, 0.0001, 0.0, MIN_BATCHES - 1)
    assert not forecast.is_ready
    taught(forecast, 0.001, 0.0001, 0.0, 1)
    assert forecast.is_ready
