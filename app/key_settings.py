"""Settings of API keys and signing keys. Part of app/settings.py."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from app.api_keys import ApiKeys
from app.api_keys_file import read_key_entries
from app.signing_keys import parse_signing_keys


def _expand_home(value: Any) -> Any:
    """Replace a leading ~, which no shell does in files of variables or after a `=`."""
    return Path(value).expanduser() if isinstance(value, (str, Path)) else value


ExpandedPath = Annotated[Path, BeforeValidator(_expand_home)]


class KeySettings(BaseSettings):
    """Settings of the keys that callers send, and with which values for them are signed."""

    api_keys: SecretStr = Field(
        default=SecretStr(""),
        description="comma-separated API keys as name:scope+scope:sha256 (see `nextup key`); empty = no keys",
    )
    api_keys_file: ExpandedPath | None = Field(
        default=None,
        description="file with further API keys, an entry per line, which is read again when it changes; unset = none",
    )
    metrics_key: SecretStr | None = Field(default=None, description="key required for /metrics; unset = open")
    signing_keys: SecretStr | None = Field(
        default=None,
        description="comma-separated keys that sign cursors: the first signs, all are accepted; the same on all "
        "machines; unset = a file in NEXTUP_DATA_DIR",
    )
    rate_limit: float = Field(default=0, ge=0, description="requests per second per API key; 0 = unlimited")

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, secret: SecretStr) -> SecretStr:
        # A text of commas and blanks has no key.
        return secret if len(ApiKeys(secret.get_secret_value())) else SecretStr("")

    @field_validator("api_keys_file")
    @classmethod
    def _check_keys_file(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and "api_keys" in info.data:
            ApiKeys(f"{info.data['api_keys'].get_secret_value()},{read_key_entries(path)}")  # names are unique in both
        return path

    @field_validator("signing_keys")
    @classmethod
    def _check_signing_keys(cls, secret: SecretStr | None) -> SecretStr | None:
        return None if secret is None or not parse_signing_keys(secret.get_secret_value()) else secret

    @field_validator("rate_limit")
    @classmethod
    def _check_rate(cls, rate: float, info: ValidationInfo) -> float:
        if rate and not may_have_keys(info):
            raise ValueError("needs API keys, because each key has its own limit; set NEXTUP_API_KEYS")
        return rate

    @property
    def has_api_keys(self) -> bool:
        return bool(self.api_keys.get_secret_value() or self.api_keys_file)


def may_have_keys(info: ValidationInfo) -> bool:
    """Whether API keys are set, or it is not known because one of their settings is wrong."""
    keys, file = info.data.get("api_keys"), info.data.get("api_keys_file", ...)
    return keys is None or bool(keys.get_secret_value()) or file is not None
