"""Adds an ANN index to an existing artifact, or removes it. Weights do not change.

Below a million items an exact scan takes milliseconds, and an index is not worth its memory and its recall loss.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from models.artifact import INDEX, Artifact, describe_file, replace_atomically, write_manifest
from models.batch import History
from models.manifest import MANIFEST
from models.scorers.base import IndexInfo

MIN_INDEX_ITEMS = 1_000_000


def add_index(artifact: Artifact, histories: Sequence[History]) -> IndexInfo | None:
    """Build an index, write it, then list it in the manifest; None if no index is worthwhile.

    Recall is measured on `histories`. An older index is dropped first, so that a manifest never lists another file.
    """
    index = artifact.predictor.build_index(histories)
    if index is None:
        return None
    drop_index(artifact.folder)
    files = {name: value for name, value in artifact.manifest["files"].items() if name != INDEX}
    replace_atomically(artifact.folder / INDEX, index.save)
    files[INDEX] = describe_file(artifact.folder / INDEX)
    write_manifest(artifact.folder, artifact.manifest | {"files": files, "index": index.to_dict()})
    return index.to_dict()


def drop_index(folder: Path) -> None:
    """Remove the index of an artifact, if it has one."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    if manifest["files"].pop(INDEX, None) is not None:
        write_manifest(folder, {name: value for name, value in manifest.items() if name != "index"})
        (folder / INDEX).unlink(missing_ok=True)
