"""A recommendation id gives its facts back, cannot be made by others, and fits into an event."""

import struct
import time

from hypothesis import given
from hypothesis import strategies as st

from app.feedback.recommendation_ids import (
    MAX_EXPERIMENT_CHARACTERS,
    MAX_VARIANT_CHARACTERS,
    MAX_VERSION_BYTES,
    SOURCES,
    AnsweredVariant,
    RecommendationIds,
)
from app.runtime.signing import Signer

KEYS = [b"a key of thirty-two characters, x", b"an old key of thirty-two characters"]
VERSIONS = st.from_regex(r"\A2[0-9]{7}-[0-9]{6}-[0-9a-f]{8}\Z") | st.text(
    st.characters(codec="utf-8"), max_size=2 * MAX_VERSION_BYTES
)


@given(VERSIONS, st.sampled_from(SOURCES))
def test_id_gives_its_facts_back_and_fits_into_an_event(version: str, source: str) -> None:
    before = int(time.time())
    text = RecommendationIds(KEYS).make(version, source)
    attribution = RecommendationIds(KEYS).read(text)
    assert attribution is not None
    assert attribution.source == source
    assert version.startswith(attribution.model_version)
    assert attribution.model_version == version or len(version.encode()) > MAX_VERSION_BYTES
    assert before <= attribution.time_s <= time.time()
    assert len(text) <= 128


@given(
    VERSIONS,
    st.builds(
        AnsweredVariant,
        st.text("abcxyz019._-", min_size=1, max_size=MAX_EXPERIMENT_CHARACTERS),
        st.text("abcxyz019._-", min_size=1, max_size=MAX_VARIANT_CHARACTERS),
        st.integers(0, 255),
        st.booleans(),
    ),
)
def test_id_of_an_experiment_gives_its_variant_back_and_fits_into_an_event(
    version: str, variant: AnsweredVariant
) -> None:
    text = RecommendationIds(KEYS).make(version, "model", variant)
    attribution = RecommendationIds(KEYS).read(text)
    assert attribution is not None
    assert (attribution.variant, attribution.source) == (variant, "model")
    assert version.startswith(attribution.model_version)
    is_usual = len(version) == 24 and version[8:9] == "-"
    assert attribution.model_version == version or not is_usual
    assert len(text) <= 128


def test_ids_of_the_first_format_and_fields_of_later_ones_are_read() -> None:
    signer = Signer(KEYS, purpose="recommendation", signature_bytes=8)
    head = struct.pack("<I6sB", 1_800_000_000, b"random", 1)
    first = RecommendationIds(KEYS).read(signer.sign(b"\1" + head + b"\0v1"))
    assert first is not None
    assert (first.time_s, first.nonce, first.source) == (1_800_000_000, b"random", "cache")
    assert (first.model_version, first.variant) == ("v1", None)
    fields = b"\3" + b"\x09\2ab" + b"\1\4home" + b"\2\5\1\7new"
    later = RecommendationIds(KEYS).read(signer.sign(b"\2" + head + fields + b"\0v1"))
    assert later is not None
    assert (later.model_version, later.variant) == ("v1", AnsweredVariant("home", "new", 7, True))
    assert RecommendationIds(KEYS).read(signer.sign(b"\3" + head + b"\0v1")) is None


def test_usual_id_has_44_characters_and_all_differ() -> None:
    ids = [RecommendationIds(KEYS).make("20261128-101500-6d52cd50", "model") for _ in range(100)]
    assert {len(text) for text in ids} == {44}
    assert len(set(ids)) == 100


@given(st.text(max_size=60) | st.integers(0, 43))
def test_other_texts_and_changed_ids_are_not_attributed(noise: str | int) -> None:
    ids = RecommendationIds(KEYS)
    text = ids.make("20261128-101500-6d52cd50", "cache")
    if isinstance(noise, int):
        changed = "A" if text[noise] != "A" else "B"
        noise = text[:noise] + changed + text[noise + 1 :]
    assert ids.read(noise) is None


def test_id_is_valid_until_its_key_is_removed() -> None:
    text = RecommendationIds(KEYS[1:]).make("v1", "popularity")
    assert RecommendationIds(KEYS).read(text) is not None
    assert RecommendationIds(KEYS[:1]).read(text) is None
