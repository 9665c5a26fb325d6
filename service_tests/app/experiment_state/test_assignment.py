"""A user's variant depends on user id and experiment name alone, and as many users get a variant as its share says."""

from fractions import Fraction
from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from app.experiment_state.assignment import HASH_BITS, NUM_GROUPS, VariantSplit
from app.stores.experiment_records import Experiment, Variant

USERS = [f"user-{number}" for number in range(4000)]
SPACE = 2**HASH_BITS
PERCENTAGES = st.lists(st.integers(1, 50), min_size=2, max_size=4).filter(lambda shares: sum(shares) <= 100)
USER_IDS = st.text(min_size=1, max_size=128)


def make_split(percentages: list[int], name: str = "home") -> VariantSplit:
    variants = tuple(Variant(f"v{number}", percentage / 100) for number, percentage in enumerate(percentages))
    return VariantSplit(Experiment(name, 0, variants))


@given(PERCENTAGES, USER_IDS)
def test_assignment_is_the_interval_of_the_users_hash(percentages: list[int], user_id: str) -> None:
    digest = blake2b(f"home\0{user_id}".encode(errors="surrogatepass"), digest_size=9).digest()
    position = Fraction(int.from_bytes(digest[:8]), SPACE)
    assignment = make_split(percentages).assign(user_id)
    assert assignment == make_split(percentages).assign(user_id)
    number = -1 if assignment is None else int(assignment.variant.name[1:])
    below = Fraction(sum(percentages[: number + 1] if assignment is None else percentages[:number]), 100)
    if assignment is None:
        assert position >= Fraction(sum(percentages), 100) - Fraction(1, SPACE)
    else:
        assert below - Fraction(1, SPACE) <= position < below + Fraction(percentages[number], 100)
        assert 0 <= assignment.group < NUM_GROUPS


@given(PERCENTAGES)
def test_intervals_are_as_wide_as_the_shares_and_sum_to_all_users_at_one(percentages: list[int]) -> None:
    bounds = [0, *make_split(percentages).bounds]
    for percentage, low, high in zip(percentages, bounds, bounds[1:], strict=False):
        assert abs((high - low) - Fraction(percentage, 100) * SPACE) <= 1
    assert make_split([10, 20, 30, 40]).bounds[-1] == SPACE, "0.1 + 0.2 + 0.3 + 0.4 is 1"


@given(PERCENTAGES, st.lists(USER_IDS, max_size=20))
def test_appended_variant_moves_no_user_between_the_others(percentages: list[int], user_ids: list[str]) -> None:
    before, after = make_split(percentages[:-1]), make_split(percentages)
    for user_id in user_ids:
        previous, assignment = before.assign(user_id), after.assign(user_id)
        assert previous == assignment or (previous is None and assignment is not None), user_id


def test_users_are_spread_over_variants_and_groups_and_differently_in_each_experiment() -> None:
    splits = [make_split([50, 50], name) for name in ("home", "checkout")]
    counts = [sum(split.assign(user).variant.name == "v0" for user in USERS) for split in splits]  # type: ignore[union-attr]
    # 4000 fair draws differ from 2000 by 6 standard deviations, 190, once in 10^9 experiments.
    assert all(abs(count - 2000) < 190 for count in counts)
    both = sum(all(split.locate(user)[0] < SPACE // 2 for split in splits) for user in USERS)
    assert abs(both - 1000) < 165, "independent of each other"
    groups = {splits[0].locate(user)[1] for user in USERS}
    assert len(groups) == NUM_GROUPS
