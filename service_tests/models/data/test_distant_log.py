"""The log of distant choices: the last items repeat those of the first walk, and nothing in between depends on them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.data.distant_log import DistantLogConfig, generate_distant_log, generate_history

CONFIG = DistantLogConfig(num_users=40, gap=200, kinds=6, choices=4, fillers=10, walk=60, full_share=0.25)


@given(st.integers(0, 10_000), st.booleans())
def test_users_return_to_the_items_of_their_walk_in_the_order_of_kinds(seed: int, is_full: bool) -> None:
    history = generate_history(CONFIG, np.random.default_rng(seed), is_full=is_full)
    walk, last = history[:60], history[-6:]
    assert np.array_equal(np.diff(last // 4) % 6, np.ones(5))
    for kind in range(6):
        item = last[last // 4 == kind]
        assert set(walk[walk // 4 == kind]) <= set(item), "a user has one item of a kind"


def test_walk_mostly_takes_the_next_kind_and_visits_kinds_at_varying_distances() -> None:
    history = generate_history(DistantLogConfig(walk=5_000), np.random.default_rng(3), is_full=True)
    kinds = history[:5_000] // DistantLogConfig().choices
    next_share = np.mean(np.diff(kinds) % 12 == 1)
    assert 0.7 < next_share < 0.85
    assert len(set(np.diff(np.flatnonzero(kinds == 0)).tolist())) > 10


def test_events_of_the_full_gap_do_not_contain_the_last_item() -> None:
    history = generate_history(CONFIG, np.random.default_rng(4), is_full=True)
    assert len(history) == 60 + 200 + 6
    assert history[-1] not in history[-1 - CONFIG.gap : -1]


def test_fillers_are_a_walk_that_contains_no_choice() -> None:
    filler = generate_history(CONFIG, np.random.default_rng(2), is_full=True)[60:-6] - 24
    assert filler.min() >= 0
    assert np.array_equal(np.diff(filler) % 10, np.ones(199))


def test_share_of_the_users_has_the_full_gap_and_the_log_is_repeatable() -> None:
    log = generate_distant_log(CONFIG)
    assert log.equals(generate_distant_log(CONFIG))
    lengths = log.group_by("user_id", maintain_order=True).len()["len"].to_numpy()
    assert (lengths[:10] == 266).all()
    assert (lengths[10:] < 266).all()
    assert len(set(lengths[10:].tolist())) > 10
