"""What counts as goodput, and when an overloaded service has passed."""

from dataclasses import replace

import numpy as np
import pytest

from app.bench.overload import OverloadResult, compute_goodput
from service_tests.app.bench.load.load_results import make_result

PASSED = OverloadResult(
    peak=100.0,
    offered=300.0,
    goodput=95.0,
    refusal_p99_s=0.005,
    statuses={503: 2000},
    failures={},
    served_by={"model": 90},
    with_retry_after=True,
)


def test_goodput_counts_answers_of_the_model_within_the_deadline() -> None:
    latencies = np.array([0.1] * 60 + [1.5] * 40)
    result = make_result(100, seconds=2.0, latencies_s=latencies, served_by={"model": 5, "popularity": 5})
    assert compute_goodput(result, deadline_s=1.0) == 15.0
    assert compute_goodput(result, deadline_s=2.0) == 25.0
    assert compute_goodput(make_result(0), deadline_s=1.0) == 0.0


def test_result_with_goodput_and_quick_refusals_passes() -> None:
    assert PASSED.failure_reasons == []
    assert PASSED.to_dict()["passed"] is True


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (replace(PASSED, goodput=60.0), "goodput is 60% of the peak"),
        (replace(PASSED, refusal_p99_s=0.02), "p99 of refusals is 20.0 ms"),
        (replace(PASSED, with_retry_after=False), "Retry-After"),
        (replace(PASSED, failures={"timeout": 3}), "without a response"),
    ],
)
def test_result_that_misses_a_target_says_so(result: OverloadResult, reason: str) -> None:
    assert len(result.failure_reasons) == 1
    assert reason in result.failure_reasons[0]
    assert result.to_dict()["passed"] is False
