"""Workers for a rate grow with requests and items, shrink with an index, and require measurements."""

import pytest

from app.capacity.rate import NotMeasured, estimate_rate
from app.capacity.shapes import compute_shape
from models.presets import preset


def test_small_catalogue_matches_the_measured_rate() -> None:
    small = estimate_rate(compute_shape(preset("blossom"), 3416), 1.0, 165, "cpu")
    per_second = 1 / (small.batch_s / 32 + small.request_s)
    assert per_second == pytest.approx(7790, rel=0.15), "docs/benchmarks/serve.md, 1 worker"


def test_workers_grow_with_rate_and_items_and_shrink_with_an_index() -> None:
    estimates = {
        n: estimate_rate(compute_shape(preset("blossom"), n), 1000.0, 200, "cpu") for n in (10_000, 10_000_000)
    }
    assert estimates[10_000].workers == 1
    assert estimates[10_000_000].workers > 5 * estimates[10_000_000].least_workers > 20
    indexed = estimate_rate(compute_shape(preset("blossom"), 10_000_000), 1000.0, 200, "cpu", index=True)
    assert indexed.least_workers <= 3, "docs/benchmarks/scaling.md: three workers sustained it"
    assert indexed.workers <= 5
    doubled = estimate_rate(compute_shape(preset("blossom"), 10_000_000), 2000.0, 200, "cpu")
    assert doubled.workers == pytest.approx(2 * estimates[10_000_000].workers, abs=1)


@pytest.mark.parametrize(("name", "device"), [("cprec", "cpu"), ("blossom", "cuda")])
def test_missing_measurement_is_named(name: str, device: str) -> None:
    with pytest.raises(NotMeasured, match=name if device == "cpu" else device):
        estimate_rate(compute_shape(preset(name), 1000), 10.0, 200, device)
