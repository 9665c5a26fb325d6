"""All processes of a service sign with the same key, and a key that can be guessed is refused."""

import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from app.runtime.signing import SignatureError, Signer
from app.settings import Settings
from app.signing_keys import KEY_FILE, load_signing_keys

LONG = "x" * 32


def test_processes_that_start_together_use_one_key_that_others_cannot_read(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with ThreadPoolExecutor(8) as starts:
        keys = list(starts.map(lambda _: load_signing_keys(None, folder), range(32)))
    assert len({tuple(key) for key in keys}) == 1
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_key_file_that_cannot_be_used_is_reported_and_replaced_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / KEY_FILE).write_text("short")
    with caplog.at_level(logging.WARNING):
        first, second = (load_signing_keys(None, tmp_path) for _ in range(2))
    assert first != second
    assert "it has fewer than 32 characters" in caplog.text
    assert "NEXTUP_SIGNING_KEYS" in caplog.text


def test_short_key_is_refused_without_being_quoted() -> None:
    assert Settings(signing_keys=SecretStr(f"{LONG}, {LONG}y")).signing_keys is not None
    assert Settings(signing_keys=SecretStr(" , ")).signing_keys is None
    with pytest.raises(ValidationError, match="each key must have 32 characters or more") as problem:
        Settings(signing_keys=SecretStr(f"{LONG},guessable"))
    assert "guessable" not in str(problem.value)


@given(st.binary(max_size=40), st.binary(max_size=80))
def test_only_signed_values_of_the_same_purpose_are_accepted(payload: bytes, noise: bytes) -> None:
    signer, other = (Signer([LONG.encode()], purpose=purpose) for purpose in ("one", "two"))
    text = signer.sign(payload)
    assert signer.verify(text) == payload
    for verifier, wrong in ((other, text), (signer, other.sign(payload)), (signer, noise.decode("latin-1"))):
        with pytest.raises(SignatureError):
            verifier.verify(wrong)
