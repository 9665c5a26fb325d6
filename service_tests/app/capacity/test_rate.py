"""Workers for a rate: more for more requests and items, few with an index, none told where nothing was measured."""

import pytest

from app.capacity.rate import NotMeasured, estimate_rate
from app.capacity.shapes import compute_shape
from models.presets import preset


def test_a_small_catalogue_is_answered_at_the_rate_that_was_measured() -> None:
    small = estimate_rate(compute_shape(preset("blossom"), 3416), 1.0, 165, "cpu")
    per_second = 1 / (small.batch_s / 32 + small.request_s)
    assert per_second == pytest.approx(7790, rel=0.15), "docs/benchmarks/serve.md, 1 worker"


def test_workers_grow_with_rate_and_items_and_an_index_spares_them() -> None:
    found = {n: estimate_rate(compute_shape(preset("blossom"), n), 1000.0, 200, "cpu") for n in (10_000, 10_000_000)}
    assert found[10_000].workers == 1
    assert found[10_000_000].workers > 5 * found[10_000_000].least_workers > 20
    indexed = estimate_rate(compute_shape(preset("blossom"), 10_000_000), 1000.0, 200, "cpu", index=True)
    assert indexed.least_workers <= 3, "docs/benchmarks/ladder.md: three workers did it"
    assert indexed.workers <= 5
    twice = estimate_rate(compute_shape(preset("blossom"), 10_000_000), 2000.0, 200, "cpu")
    assert twice.workers == pytest.approx(2 * found[10_000_000].workers, abs=1)


@pytest.mark.parametrize(("name", "device"), [("cprec", "cpu"), ("blossom", "cuda")])
def test_what_was_not_measured_is_named(name: str, device: str) -> None:
    with pytest.raises(NotMeasured, match=name if device == "cpu" else device):
        estimate_rate(compute_shape(preset(name), 1000), 10.0, 200, device)
