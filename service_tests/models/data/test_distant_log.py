"""The log of distant choices: the last items repeat the first ones, and nothing in between depends on them."""

import numpy as np

from service_tests.support.distant_log import DistantLogConfig, generate_distant_log, generate_history

CONFIG = DistantLogConfig(num_users=40, gap=200, kinds=6, choices=4, fillers=10)


def test_users_return_to_their_first_items_in_the_order_of_kinds() -> None:
    rng = np.random.default_rng(1)
    for is_full in (True, False):
        history = generate_history(CONFIG, rng, is_full=is_full)
        first, last = history[:6], history[-6:]
        assert sorted(first) == sorted(last)
        assert np.array_equal(np.diff(last // 4) % 6, np.ones(5))
    assert len(generate_history(CONFIG, rng, is_full=True)) == 200 + 2 * 6


def test_fillers_are_a_walk_that_contains_no_choice() -> None:
    filler = generate_history(CONFIG, np.random.default_rng(2), is_full=True)[6:-6] - 24
    assert filler.min() >= 0
    assert np.array_equal(np.diff(filler) % 10, np.ones(199))


def test_half_of_the_users_have_the_full_gap_and_the_log_is_repeatable() -> None:
    log = generate_distant_log(CONFIG)
    assert log.equals(generate_distant_log(CONFIG))
    lengths = log.group_by("user_id", maintain_order=True).len()["len"].to_numpy()
    assert (lengths[::2] == 212).all()
    assert (lengths[1::2] < 212).all()
    assert len(set(lengths[1::2].tolist())) > 10
