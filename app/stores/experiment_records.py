"""Records of experiments and of the shadow version, as JSON that people can read in Redis."""

import msgspec


class Variant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A share of the users, and the version and the placement that answer them; None are those of all others."""

    name: str
    share: float
    version: str | None = None
    placement: str | None = None


class Experiment(msgspec.Struct, frozen=True, omit_defaults=True):
    """`started_at` and `ended_at` are Unix milliseconds; it runs until it has ended, with or without a winner.

    With a `placement`, only requests that name it are in the experiment.
    """

    name: str
    started_at: int
    variants: tuple[Variant, ...]
    ended_at: int | None = None
    winner: str | None = None
    placement: str | None = None

    @property
    def is_running(self) -> bool:
        return self.ended_at is None


class Shadow(msgspec.Struct, frozen=True):
    """A version that answers a share of the requests in the background until `ends_at`; times are Unix ms."""

    version: str
    share: float
    started_at: int
    ends_at: int


encoder = msgspec.json.Encoder(order="sorted")
experiment_decoder = msgspec.json.Decoder(Experiment)
shadow_decoder = msgspec.json.Decoder(Shadow)
