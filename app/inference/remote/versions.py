"""Versions whose model is in another process: this one has their catalogue and what falls back on it."""

import weakref
from pathlib import Path

from app.errors import ArtifactRejected
from app.inference.filters.masks import FilterMasks
from app.inference.interfaces import ModelInfo
from app.inference.live.items import LiveItems
from app.inference.live.version_view import VersionView
from app.inference.neighbours import open_neighbours
from app.model_repository.private_copies import PrivateCopies
from app.model_repository.repository import read_version
from models.catalogue.catalogue import Catalogue
from models.catalogue.files import open_catalogue
from models.transitions.followers import Followers


class RemoteVersion:
    """A version whose model is in another process."""

    def __init__(
        self,
        version: str,
        catalogue: Catalogue,
        followers: Followers | None,
        model_info: ModelInfo | None = None,
        live: VersionView | None = None,
    ) -> None:
        """Without `live`, every item is as in training."""
        self.version = version
        self.catalogue = catalogue
        self.live = live or VersionView(LiveItems(), catalogue)
        self.filters = FilterMasks(self.live)
        self.followers = followers
        self.model_info = model_info


def open_copy(folder: Path, live: LiveItems, copies: PrivateCopies) -> RemoteVersion:
    """Open a private copy, which lives as long as its catalogue."""
    copy = copies.open(folder)
    try:
        version = open_version(copy.folder, live)
    except ArtifactRejected as error:
        copy.close()
        raise ArtifactRejected(error.detail.replace(str(copy.folder), str(folder))) from error
    weakref.finalize(version.catalogue, copy.close_in_thread).atexit = False
    return version


def open_version(folder: Path, live: LiveItems, model_info: ModelInfo | None = None) -> RemoteVersion:
    """ArtifactRejected if the folder does not hold this version with a readable catalogue."""
    stored = read_version(folder)
    if stored is None:
        raise ArtifactRejected(f"{folder} holds no readable artifact")
    if model_info is not None and stored.version != model_info.version:
        raise ArtifactRejected(
            f"{folder} now holds version {stored.version}, but the model serves {model_info.version}"
        )
    try:
        catalogue = open_catalogue(folder)
        followers = open_neighbours(folder, catalogue.num_items)
        return RemoteVersion(stored.version, catalogue, followers, model_info, VersionView(live, catalogue))
    except Exception as error:  # Parquet and safetensors readers raise many kinds
        raise ArtifactRejected(f"the catalogue in {folder} cannot be read: {error!r}") from error
