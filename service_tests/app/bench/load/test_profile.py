"""Profiles and results survive serialization between the processes."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.bench.load.profile import LoadProfile, LoadResult
from service_tests.app.bench.load.load_results import PROFILE, make_result

COUNTS = st.integers(0, 10**9)


@given(bodies=st.lists(st.text(), min_size=1, max_size=5), seconds=st.floats(0, 1e6))
def test_profile_round_trips(bodies: list[str], seconds: float) -> None:
    profile = replace(PROFILE, bodies=tuple(bodies), events=tuple(bodies), seconds=seconds)
    assert LoadProfile.from_bytes(profile.to_bytes()) == profile
    assert profile.to_bytes().count(b"\n") == 1, "the generator reads one line"


@given(
    latencies=st.lists(st.floats(0, 100)),
    statuses=st.dictionaries(st.integers(100, 599), COUNTS),
    served_by=st.dictionaries(st.text(), COUNTS),
)
def test_result_round_trips(latencies: list[float], statuses: dict[int, int], served_by: dict[str, int]) -> None:
    result = replace(
        make_result(3, latencies_s=np.array(latencies), statuses=statuses, served_by=served_by),
        write_latencies_s=np.array(latencies[:2]),
        refusal_latencies_s=np.array(latencies[2:]),
    )
    parsed = LoadResult.from_bytes(result.to_bytes())
    assert parsed.latencies_s.tolist() == latencies
    assert parsed.write_latencies_s.tolist() == latencies[:2]
    assert parsed.refusal_latencies_s.tolist() == latencies[2:]
    arrays = {name: getattr(result, name) for name in result.__slots__ if name.endswith("latencies_s")}
    assert replace(parsed, **arrays) == result
