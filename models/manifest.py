"""The manifest of an artifact: every field that a reader uses is checked, so that no manifest breaks its readers.

Torch-free, because processes without a model list versions. It does not verify the files themselves.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from models.json_files import read_json_object, shorten_reason

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 4 << 20
MAX_TYPES = 100
"""Most event types that a manifest lists."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"
"""Allowed names of versions and of their files; never a path."""
NAME = re.compile(NAME_PATTERN)

Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
ShortText = Annotated[str, msgspec.Meta(max_length=128)]


class ListedFile(msgspec.Struct, frozen=True):
    """Digest and size of a file of the artifact."""

    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    bytes: Annotated[int, msgspec.Meta(ge=0)]


class TypeRecord(msgspec.Struct, frozen=True):
    """Event types of a training: the rule of its histories, and the types that entered them.

    `history` lists types, is empty for the default rule, and None for a log without types. `weights` are those of
    targets, None if all are equal; `target` is the type that was held out, None for any.
    """

    history: Annotated[list[ShortText], msgspec.Meta(max_length=MAX_TYPES)] | None
    entered: Annotated[list[ShortText], msgspec.Meta(max_length=MAX_TYPES)]
    weights: Annotated[dict[ShortText, float], msgspec.Meta(max_length=MAX_TYPES + 1)] | None = None
    target: ShortText | None = None


class ManifestFields(msgspec.Struct, frozen=True):
    """Fields that readers rely on; a manifest may have more."""

    version: Name
    preset: ShortText
    created: ShortText
    files: Annotated[dict[Name, ListedFile], msgspec.Meta(max_length=100)]
    figures: dict[str, float]
    verdict: dict[str, Any] | None = None
    index: dict[str, float | str] | None = None
    event_types: TypeRecord | None = None


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names the file and the field."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a manifest; ManifestError for one of another format or with a field that does not have its form."""
    path = folder / MANIFEST
    try:
        manifest = read_json_object(path, MAX_MANIFEST_BYTES)
        format_version = manifest.get("format")
        if type(format_version) is not int:
            raise ValueError(f"format must be a number (got {shorten_reason(ValueError(repr(format_version)))})")
    except ValueError as error:
        raise _make_damage_error(path, error) from error
    if format_version != FORMAT_VERSION:
        raise ManifestError(f"{path} has format {format_version}; this version of nextup reads format {FORMAT_VERSION}")
    try:
        msgspec.convert(manifest, ManifestFields)
    except (msgspec.ValidationError, RecursionError, OverflowError) as error:
        raise _make_damage_error(path, error) from error
    # JSON responses cannot hold them; a metric of an empty test split may be NaN.
    figures = {name: value for name, value in manifest["figures"].items() if math.isfinite(value)}
    return manifest | {"figures": figures}


def read_baselines(manifest: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the figures of each baseline in a manifest; none without a comparison, or with one of another form."""
    verdict = manifest.get("verdict") or {}
    name, metric, value = (verdict.get(key) for key in ("best_baseline", "metric", "baseline"))
    if not isinstance(name, str) or not isinstance(metric, str):
        return {}
    return {name: {metric: float(value)}} if isinstance(value, int | float) and math.isfinite(value) else {}


def _make_damage_error(path: Path, error: Exception) -> ManifestError:
    return ManifestError(f"{path} is damaged: {shorten_reason(error)}; copy or export the artifact again")
