"""Records of the live catalogue: what operators say about one item, as JSON that people can read in Redis.

Equal records have equal bytes, so that a record that is sent again changes nothing.
"""

import msgspec

AttributeValue = bool | int | float | str | list[str]


class ItemRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """`title` and `categories` None leave those of the model's catalogue in place."""

    title: str | None = None
    categories: tuple[str, ...] | None = None
    available: bool = True
    attributes: dict[str, AttributeValue] = {}
    url: str | None = None
    image_url: str | None = None


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(ItemRecord)


def encode_record(record: ItemRecord) -> bytes:
    return _encoder.encode(record)


def decode_record(value: bytes) -> ItemRecord:
    """Decode a record; ValueError if it is damaged."""
    return _decoder.decode(value)
