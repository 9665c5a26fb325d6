"""An index for approximate answers, put beside the weights of an artifact that is there. No weight changes.

Below a million items an exact scan takes milliseconds, and an index is not worth its memory and its misses.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from models.artifact import INDEX, MANIFEST, Artifact, describe_file, replace_atomically, write_manifest
from models.batch import History
from models.scorers.base import IndexInfo

MIN_INDEX_ITEMS = 1_000_000  # items


def add_index(artifact: Artifact, histories: Sequence[History]) -> IndexInfo | None:
    """Build it, write it, name it in the manifest last; what was measured, or None if no index is worth having.

    `histories` are those after which recall is measured; an older index is replaced, and is none meanwhile.
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
    """An artifact without an index from the next load on; nothing happens to one that has none."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    if manifest["files"].pop(INDEX, None) is not None:
        write_manifest(folder, {name: value for name, value in manifest.items() if name != "index"})
        (folder / INDEX).unlink(missing_ok=True)
