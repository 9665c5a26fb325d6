"""Removal of secrets from texts that people or log collectors read.

A safety net behind the settings, which hold secrets as SecretStr: libraries put URLs and headers into their errors.
"""

import re

HIDDEN = "***"
_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)(?!/)[^\s'\"<>]*@")
"""Up to the last @, because a password that is not percent-encoded may contain /, ? and #."""
_OPTION = re.compile(r"(?i)\b((?:password|passwd|secret|token|key|ssl_password)=)[^&#\s'\"]+")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s'\",]+")
_API_KEY = re.compile(r"\b(nextup_)(?=[\w-]*[A-Z])[\w-]{43}(?![\w-])")
_KEY_ENTRY = re.compile(r"\b([\w.-]+:(?:read|write|admin)(?:\+(?:read|write|admin))*:)[0-9a-fA-F]{64}\b")
_PATTERNS = (_USERINFO, _OPTION, _BEARER, _API_KEY, _KEY_ENTRY)


def redact_text(text: str) -> str:
    """Replace passwords of URLs, bearer tokens, API keys and their hashes in any text."""
    for pattern in _PATTERNS:
        closing = "@" if pattern is _USERINFO else ""
        text = pattern.sub(rf"\g<1>{HIDDEN}{closing}", text)
    return text
