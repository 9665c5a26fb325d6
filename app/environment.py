"""Settings from the environment, as every command and process reads them: wrong ones are reported in one way.

An error names the variable, the problem and the fix, and never the value. Empty variables are unset.
"""

import os
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from app.redaction import redact_text
from app.settings import Settings

PREFIX = "NEXTUP_"
STORE_SETTINGS = frozenset(
    name
    for name in Settings.model_fields
    if name.startswith(("redis_", "history_", "event_", "archive")) or name in ("data_dir", "durability")
)
"""Settings of commands that work on the history store."""
OTHER_VARIABLES = ("NEXTUP_TORCH", "NEXTUP_TRACEBACK")
"""Variables of the installation and of the command line."""
OTHER_PREFIXES = ("NEXTUP_RAY_", "NEXTUP_PEER_")
_KUBERNETES_LINK = re.compile(r"NEXTUP(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""Variables that Kubernetes sets in pods for each Service whose name begins with nextup."""


class SettingsError(ValueError):
    """One or more settings are wrong; the text is one line that names their variables."""


def load_settings(uses: Collection[str] | None = None, **overrides: Any) -> Settings:
    """Read the settings; SettingsError if one that the command uses is wrong.

    Without `uses` all are judged; settings outside of it have their defaults if they are wrong. `overrides` come from
    options and take precedence over the environment.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = {str(detail["loc"][0]) for detail in error.errors(include_input=False) if detail["loc"]}
        if uses is None or not wrong or wrong & set(uses):
            raise SettingsError(describe_problems(error, uses, options=overrides)) from None
        defaults = {name: Settings.model_fields[name].default for name in wrong}
        if "host" in wrong or "allow_anonymous" in wrong:
            defaults |= {name: Settings.model_fields[name].default for name in ("host", "allow_anonymous")}
        return load_settings(uses, **{**overrides, **defaults})


def describe_problems(
    error: ValidationError, uses: Collection[str] | None = None, *, options: Collection[str] = ()
) -> str:
    """Describe the wrong fields of settings in one line, without their values; those of `options` are options."""
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if uses is None or not name or name in uses:
            message = redact_text(detail["msg"].removeprefix("Value error, "))
            message = message[:1].lower() + message[1:] if message.startswith(("Input ", "Field ")) else message
            source = f"--{name.replace('_', '-')}" if name in options else f"{PREFIX}{name.upper()}"
            problems.append(f"{source} {message.removeprefix('input ').removeprefix('field ')}")
    return "; ".join(problems)


def find_unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Describe each NEXTUP_ variable that no setting reads, with the nearest one that exists; values are not shown."""
    settings = [name.upper() for name in Settings.model_fields]
    known_variables = {*(f"{PREFIX}{name}" for name in settings), *OTHER_VARIABLES}
    lines = []
    for variable in sorted(environment):
        name = variable.upper()
        if not name.startswith(PREFIX) or name in known_variables or name.startswith(OTHER_PREFIXES):
            continue
        if _KUBERNETES_LINK.fullmatch(name) and not name.endswith("_PORT"):
            continue
        if name.endswith("_PORT") and environment[variable].startswith(("tcp://", "udp://", "sctp://")):
            continue
        close = get_close_matches(name.removeprefix(PREFIX), settings, n=1)
        hint = f"did you mean {PREFIX}{close[0]}?" if close else "docs/reference/configuration.md lists all settings"
        lines.append(f"{variable} is not a setting and has no effect; {hint}")
    return lines
