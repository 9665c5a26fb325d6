"""Signatures of values that clients keep and send back: HMAC-SHA256, with keys that can be rotated."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

SIGNATURE_BYTES = 16


class SignatureError(Exception):
    """The text is not one that a holder of the keys has signed for this purpose."""


class Signer:
    """Signs with the first key, and accepts the signatures of all keys.

    `purpose` separates values of different kinds that are signed with the same keys.
    """

    def __init__(self, keys: Sequence[bytes], *, purpose: str, signature_bytes: int = SIGNATURE_BYTES) -> None:
        assert keys, "a signer needs a key"
        self._size = signature_bytes
        self._keys = [hmac.digest(key, purpose.encode(), hashlib.sha256) for key in keys]

    def sign(self, payload: bytes) -> str:
        """Return signature and payload as text for URLs and JSON: A-Z, a-z, 0-9, - and _."""
        return base64.urlsafe_b64encode(self._compute_signature(self._keys[0], payload) + payload).rstrip(b"=").decode()

    def verify(self, text: str) -> bytes:
        """Return the payload; SignatureError if the text was not signed with one of the keys."""
        try:
            signed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error, ValueError):
            raise SignatureError from None
        signature, payload = signed[: self._size], signed[self._size :]
        matches = [hmac.compare_digest(signature, self._compute_signature(key, payload)) for key in self._keys]
        if not any(matches):
            raise SignatureError
        return payload

    def _compute_signature(self, key: bytes, payload: bytes) -> bytes:
        return hmac.digest(key, payload, hashlib.sha256)[: self._size]
