"""The law of a synthetic log: who takes what next, and with which probability.

Items come in series of a genre; popularity and lengths follow power laws. At every step a user takes

1. the next part of the series of the last item, with probability `next_part`, if there is one that is not remembered;
2. otherwise an item of the user's current genre, with probability `own_genre`; the genre itself drifts;
3. otherwise any item;

2 and 3 by popularity. A user remembers the last `memory` items: where 2 or 3 gives one of them, it is drawn again, up
to REDRAWS times, and then taken all the same. So an item comes again seldom within `memory` steps, and freely later.

It knows no blocks and no names: an item is a number.
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

REDRAWS = 4

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SyntheticLogConfig:
    """`popularity` and `lengths` are exponents: item of rank r has weight r^−popularity, P(length ≥ n) ~ n^−lengths.

    Lengths lie between `min_length` and `max_length`. Item i is part i mod `series_length` of its series, counted from
    0; series s has genre s mod `num_genres`. A step changes the genre to a random one with probability `drift`.
    ValueError names the field that makes no sense.
    """

    num_users: int = 1000
    num_items: int = 500
    num_genres: int = 8
    series_length: int = 5
    min_length: int = 10
    max_length: int = 1000
    lengths: float = 1.8
    popularity: float = 1.0
    next_part: float = 0.5
    own_genre: float = 0.8
    drift: float = 0.05
    memory: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_users", "num_items", "num_genres", "series_length", "min_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("memory", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.max_length < self.min_length:
            raise ValueError(f"max_length {self.max_length} is below min_length {self.min_length}")
        if self.num_items < self.num_genres * self.series_length:
            raise ValueError(f"num_items {self.num_items} does not give each of {self.num_genres} genres a series")
        for name in ("next_part", "own_genre", "drift"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, not {getattr(self, name)}")
        if not 0 < self.lengths < math.inf:
            raise ValueError(f"lengths must be above 0 and finite, not {self.lengths}")
        if not 0 <= self.popularity < math.inf:
            raise ValueError(f"popularity must be 0 or more and finite, not {self.popularity}")

    @property
    def mean_length(self) -> float:
        """Expected events of a user."""
        above = np.arange(self.min_length + 1, self.max_length + 1, dtype=np.float64)
        return self.min_length + float(((self.min_length / above) ** self.lengths).sum())

    def with_events(self, num_events: int) -> "SyntheticLogConfig":
        """The same law for as many users as make `num_events` expected events; few users scatter widely around it."""
        if num_events < 1:
            raise ValueError(f"num_events must be 1 or more, not {num_events}")
        return dataclasses.replace(self, num_users=max(1, round(num_events / self.mean_length)))

    def genre(self, item: Ints) -> Ints:
        return item // self.series_length % self.num_genres

    def next_of(self, item: Ints) -> Ints:
        """The part that follows, or −1 at the end of a series."""
        follows = item + 1
        return np.where((follows % self.series_length == 0) | (follows >= self.num_items), -1, follows)

    @property
    def weights(self) -> Floats:
        """(num_items,) popularity of every item, the largest 1: what free draws go by."""
        rank = np.random.default_rng([self.seed, 0]).permutation(self.num_items) + 1
        return rank.astype(np.float64) ** -self.popularity

    @property
    def remembered(self) -> int:
        """Most items that a user can remember: nobody has more than `max_length`."""
        return min(self.memory, self.max_length)

    def free_items(self, rng: np.random.Generator, genre: Ints) -> Ints:
        """Rules 2 and 3: one item for each user's current genre (users,)."""
        return self._draw.items(rng, genre)

    @cached_property
    def _draw(self) -> "_PopularityDraw":
        return _PopularityDraw(self)


class _PopularityDraw:
    """Free draws: items by popularity, of one genre or of all."""

    def __init__(self, law: SyntheticLogConfig) -> None:
        self._own_genre = law.own_genre
        self._items = np.argsort(law.genre(np.arange(law.num_items)), kind="stable")
        self._steps = np.concatenate(([0.0], np.cumsum(law.weights[self._items])))
        self._starts = np.searchsorted(law.genre(self._items), np.arange(law.num_genres + 1))

    def items(self, rng: np.random.Generator, genre: Ints) -> Ints:
        """One item for each user's current genre (users,)."""
        own = rng.random(len(genre)) < self._own_genre
        low = np.where(own, self._starts[genre], 0)
        high = np.where(own, self._starts[genre + 1], len(self._items))
        point = self._steps[low] + rng.random(len(genre)) * (self._steps[high] - self._steps[low])
        # Clipped, because rounding may carry a point to the edge of the next genre.
        place = np.clip(np.searchsorted(self._steps, point, side="right") - 1, low, high - 1)
        chosen: Ints = self._items[place]
        return chosen
