"""An index for approximate answers, put beside the weights of an artifact that is there. No weight changes.

Below a million items an exact scan takes milliseconds, and an index is not worth its memory and its misses.
"""

from collections.abc import Sequence

from models.artifact import INDEX, Artifact, fingerprint, write_manifest
from models.batch import History

WORTH_FROM = 1_000_000  # items


def add_index(artifact: Artifact, histories: Sequence[History]) -> dict[str, float] | None:
    """Build it, write it, name it in the manifest last; what was measured, or None if no index is worth having.

    `histories` are those after which recall is measured; an older index is replaced, and is none meanwhile.
    """
    index = artifact.predictor.build_index(histories)
    if index is None:
        return None
    files = {name: value for name, value in artifact.manifest["files"].items() if name != INDEX}
    write_manifest(artifact.folder, artifact.manifest | {"files": files})
    index.save(artifact.folder / INDEX)
    files[INDEX] = fingerprint(artifact.folder / INDEX)
    write_manifest(artifact.folder, artifact.manifest | {"files": files, "index": index.told()})
    return index.told()
