"""What goes to the generator and comes back is what was sent."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.bench.load.profile import LoadProfile, LoadResult
from service_tests.app.bench.serve.tallies import PLAN, tally

COUNTS = st.integers(0, 10**9)


@given(bodies=st.lists(st.text(), min_size=1, max_size=5), seconds=st.floats(0, 1e6))
def test_a_plan_is_read_as_it_was_written(bodies: list[str], seconds: float) -> None:
    plan = replace(PLAN, bodies=tuple(bodies), events=tuple(bodies), seconds=seconds)
    assert LoadProfile.from_bytes(plan.to_bytes()) == plan
    assert plan.to_bytes().count(b"\n") == 1, "the generator reads one line"


@given(
    latencies=st.lists(st.floats(0, 100)),
    statuses=st.dictionaries(st.integers(100, 599), COUNTS),
    served_by=st.dictionaries(st.text(), COUNTS),
)
def test_a_tally_is_read_as_it_was_written(
    latencies: list[float], statuses: dict[int, int], served_by: dict[str, int]
) -> None:
    sent = replace(
        tally(3, latencies_s=np.array(latencies), statuses=statuses, served_by=served_by),
        write_latencies_s=np.array(latencies[:2]),
    )
    got = LoadResult.from_bytes(sent.to_bytes())
    assert got.latencies_s.tolist() == latencies
    assert got.write_latencies_s.tolist() == latencies[:2]
    assert replace(got, latencies_s=sent.latencies_s, write_latencies_s=sent.write_latencies_s) == sent
