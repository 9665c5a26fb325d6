"""Event times in a servable: each time stays with its item."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.inference import Query, TopItems
from app.inference.servable import Servable
from models.artifact import load_artifact
from models.batch import NO_TIME
from models.catalogue.item_key import item_keys
from models.times import FIRST_SECOND
from service_tests.support.artifacts import write_tiny_artifact

Event = tuple[str, int]

events = st.lists(
    st.tuples(st.sampled_from([*(f"i{n}" for n in range(1, 26)), "unknown"]), st.integers(0, 2**32 - 1)),
    min_size=1,
    max_size=50,
)


@pytest.fixture(scope="module", params=["lsan", "blossom"])
def servable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Servable:
    folder = write_tiny_artifact(tmp_path_factory.mktemp("timed"), preset=request.param, num_items=25)
    return Servable(load_artifact(folder, device="cpu"))


def build_query(history: list[Event]) -> Query:
    times = np.array([time for _, time in history], dtype=np.uint32)
    return Query(item_keys(item for item, _ in history), 25, times=times, exclude_seen=False)


@settings(deadline=None, max_examples=60)
@given(histories=st.lists(events, min_size=1, max_size=4), timeless=st.integers(0, 3))
def test_batch_uses_the_times_of_its_known_items(
    servable: Servable, histories: list[list[Event]], timeless: int
) -> None:
    queries = [build_query(history) for history in histories]
    if timeless < len(queries):
        queries[timeless] = Query(queries[timeless].history, 25, exclude_seen=False)
    for row, (history, answer) in enumerate(zip(histories, servable.run_batch(queries), strict=True)):
        assert isinstance(answer, TopItems)
        known_events = [(int(item[1:]), time) for item, time in history if item != "unknown"]
        if not known_events:
            assert answer.source == "popularity"
            continue
        times = np.array([NO_TIME if row == timeless else time for _, time in known_events], dtype=np.uint32)
        top = servable.artifact.predictor.top_k([np.array([item for item, _ in known_events])], 25, times=[times])
        np.testing.assert_allclose(answer.scores, top.scores[0], rtol=1e-4, atol=1e-4)


def test_scores_depend_on_event_times_but_not_on_ranks(servable: Servable) -> None:
    items = ["i3", "i7", "i1"]

    def compute_scores(*times: int) -> list[float]:
        (answer,) = servable.run_batch([build_query(list(zip(items, times, strict=True)))])
        assert isinstance(answer, TopItems)
        return answer.scores

    noon, midnight = 1_700_049_600, 1_700_092_800
    assert compute_scores(noon, noon, noon) != compute_scores(noon, noon, midnight)
    assert compute_scores(0, 1, FIRST_SECOND - 1) == compute_scores(0, 0, 0)
