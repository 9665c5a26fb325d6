"""Which variant of an experiment a user gets: a function of user id and experiment name, the same in all processes.

The variants occupy consecutive intervals of a 64-bit hash, in their order and as wide as their shares; users behind the
last interval are in no variant. So a variant that is appended takes only users that were in none.
"""

from fractions import Fraction
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

from app.stores.experiment_records import Experiment, Variant

HASH_BITS = 64
NUM_GROUPS = 256
"""Groups of users within a variant, whose differences show how much results vary from user to user."""


class Assignment(NamedTuple):
    """The variant of a user, and the user's group in it."""

    experiment: str
    variant: Variant
    group: int


class VariantSplit:
    """Assigns users to the variants of one experiment."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        shares = accumulate(to_fraction(variant.share) for variant in experiment.variants)
        self.bounds = [int(share * 2**HASH_BITS) for share in shares]
        """Upper bounds of the intervals of the variants."""
        self._prefix = f"{experiment.name}\0".encode()

    def assign(self, user_id: str) -> Assignment | None:
        """Return the variant of a user; None for a user outside the experiment."""
        position, group = self.locate(user_id)
        for variant, bound in zip(self.experiment.variants, self.bounds, strict=True):
            if position < bound:
                return Assignment(self.experiment.name, variant, group)
        return None

    def locate(self, user_id: str) -> tuple[int, int]:
        """Return the position of a user among 2**HASH_BITS, and a group that does not depend on it."""
        digest = blake2b(self._prefix + user_id.encode(errors="surrogatepass"), digest_size=9).digest()
        return int.from_bytes(digest[:8]), digest[8]


def to_fraction(share: float) -> Fraction:
    """Return the share as it is written, so that 0.1 and 0.9 are exactly 1."""
    return Fraction(repr(share))
