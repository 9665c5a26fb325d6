"""Recommendation ids that say which version and source answered, and when; signed, so that they can be trusted.

An event that names the recommendation it results from can be attributed without a list of recommendations: the id holds
the facts, and only this service can make one. 44 characters of base64url for the usual version names:

    signature 8 bytes | format u8 | time u32 s | random 6 bytes | source u8 | version
    version = 1, date u32, time u32, digest 4 bytes        (20261128-101500-6d52cd50)
            | 0, text                                      (any other name)

Format 2 has fields between source and version: their number u8, and for each its tag u8, length u8 and bytes. Readers
skip tags that they do not know.

    1  name of the experiment
    2  flags u8 (1 = the variant answered), group of the user u8, name of the variant
"""

import re
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.runtime.random_ids import generate_nonce
from app.runtime.signing import SignatureError, Signer

FORMAT = 1
FORMAT_WITH_FIELDS = 2
EXPERIMENT, VARIANT = 1, 2
"""Tags of fields."""
SIGNATURE_BYTES = 8
SOURCES = ("model", "cache", "neighbours", "popularity")
"""In the order of their numbers in an id; append only."""
_HEAD = struct.Struct("<BI6sB")
_VERSION = re.compile(r"(\d{8})-(\d{6})-([0-9a-f]{8})")
_PACKED_VERSION = struct.Struct("<BII4s")
MAX_VERSION_BYTES = 60
"""Longer names of versions are cut off, so that an id fits into an event."""
MAX_PAYLOAD_BYTES = 88
"""Most bytes of an id of 128 characters, without the signature; names of versions are cut off to fit."""
MAX_EXPERIMENT_CHARACTERS, MAX_VARIANT_CHARACTERS = 32, 16
"""Longest ASCII names that leave room for the usual names of versions."""


@dataclass(frozen=True, slots=True)
class AnsweredVariant:
    """The variant of an experiment that the user of a recommendation is in.

    `is_served`: its version gave the answer; otherwise another source did, such as the serving version.
    """

    experiment: str
    name: str
    group: int
    is_served: bool


@dataclass(frozen=True, slots=True)
class Attribution:
    """The facts of one recommendation; `nonce` identifies it, `time_s` is Unix time."""

    nonce: bytes
    time_s: int
    source: str
    model_version: str
    variant: AnsweredVariant | None = None


class RecommendationIds:
    def __init__(self, keys: Sequence[bytes]) -> None:
        self._signer = Signer(keys, purpose="recommendation", signature_bytes=SIGNATURE_BYTES)

    def make(self, model_version: str, source: str, variant: AnsweredVariant | None = None) -> str:
        """Make the id of a recommendation that is answered now."""
        form = FORMAT if variant is None else FORMAT_WITH_FIELDS
        head = _HEAD.pack(form, int(time.time()), generate_nonce(6), SOURCES.index(source))
        version = _pack_version(model_version)
        if variant is not None:
            head += _pack_variant(variant)
            version = version[: MAX_PAYLOAD_BYTES - len(head)]
        return self._signer.sign(head + version)

    def read(self, recommendation_id: str) -> Attribution | None:
        """Return the facts of an id; None for one that this service has not made."""
        try:
            payload = self._signer.verify(recommendation_id)
        except SignatureError:
            return None
        if len(payload) < _HEAD.size or payload[0] not in (FORMAT, FORMAT_WITH_FIELDS):
            return None
        _, time_s, nonce, source = _HEAD.unpack_from(payload)
        fields: dict[int, bytes] = {}
        version = payload[_HEAD.size :]
        if payload[0] == FORMAT_WITH_FIELDS:
            fields, version = _split_fields(version)
        return Attribution(nonce, time_s, SOURCES[source], _unpack_version(version), _unpack_variant(fields))


def _pack_variant(variant: AnsweredVariant) -> bytes:
    experiment, name = variant.experiment.encode(), bytes((variant.is_served, variant.group)) + variant.name.encode()
    return bytes((2, EXPERIMENT, len(experiment))) + experiment + bytes((VARIANT, len(name))) + name


def _split_fields(data: bytes) -> tuple[dict[int, bytes], bytes]:
    """Split the fields by their tags from the version behind them."""
    fields, position = {}, 1
    for _ in range(data[0]):
        tag, start = data[position], position + 2
        position = start + data[position + 1]
        fields[tag] = data[start:position]
    return fields, data[position:]


def _unpack_variant(fields: Mapping[int, bytes]) -> AnsweredVariant | None:
    if EXPERIMENT not in fields or VARIANT not in fields:
        return None
    flags, group, *name = fields[VARIANT]
    return AnsweredVariant(fields[EXPERIMENT].decode(), bytes(name).decode(), group, bool(flags & 1))


@lru_cache(maxsize=16)
def _pack_version(name: str) -> bytes:
    parts = _VERSION.fullmatch(name)
    if parts is None:
        return b"\0" + name.encode(errors="replace")[:MAX_VERSION_BYTES]
    return _PACKED_VERSION.pack(1, int(parts[1]), int(parts[2]), bytes.fromhex(parts[3]))


def _unpack_version(data: bytes) -> str:
    if data[0] == 0:
        return data[1:].decode(errors="ignore")  # the cut may be inside a character
    _, date, clock, digest = _PACKED_VERSION.unpack(data)
    return f"{date:08d}-{clock:06d}-{digest.hex()}"
