"""Rules of a query in a message: filters are their texts, which the other process parses again."""

import msgspec

from app.inference.filters import parse_filter
from app.inference.rules import Boost, ItemRules, Promotion


class EncodedRules(msgspec.Struct, array_like=True, frozen=True):
    """`boosts` are filters with what they add, `promotions` filters with positions."""

    boosts: tuple[tuple[bytes, float], ...]
    promotions: tuple[tuple[bytes, tuple[int, ...]], ...]
    limits: tuple[tuple[str, int], ...]
    diversity: float
    offset: int
    shown: bytes = b""
    penalty: float = 0.0


def encode_rules(rules: ItemRules) -> EncodedRules:
    return EncodedRules(
        tuple((boost.item_filter.text, boost.add) for boost in rules.boosts),
        tuple((promotion.item_filter.text, promotion.positions) for promotion in rules.promotions),
        rules.limits,
        rules.diversity,
        rules.offset,
        rules.shown,
        rules.penalty,
    )


def decode_rules(message: EncodedRules) -> ItemRules:
    """Rebuild the rules; FilterError for a filter that is not valid."""
    return ItemRules(
        tuple(Boost(parse_filter(text), add) for text, add in message.boosts),
        tuple(Promotion(parse_filter(text), positions) for text, positions in message.promotions),
        message.limits,
        message.diversity,
        message.offset,
        message.shown,
        message.penalty,
    )
