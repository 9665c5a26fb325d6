"""Loads versions as the settings say, from private copies of their files."""

import logging
import weakref
from pathlib import Path

from app.history_types import describe_difference
from app.inference.live.items import LiveItems
from app.inference.servable import Servable, open_servable
from app.model_repository.private_copies import PrivateCopies
from app.model_server.comparison import Limits
from app.model_server.new_items import NewItemPlacer
from app.runtime.machine import count_cores
from app.settings import Settings

log = logging.getLogger("nextup")


class VersionLoader:
    """Opens a folder as a version that is ready to serve; its private copy lives as long as the version."""

    def __init__(self, settings: Settings, copies: PrivateCopies, live: LiveItems | None = None) -> None:
        self._settings = settings
        self.new_items = NewItemPlacer(settings.new_items_max)
        self._live = live
        self._copies = copies

    def __call__(self, folder: Path) -> Servable:
        """ArtifactRejected says why the version cannot serve."""
        settings = self._settings
        copy = self._copies.open(folder)
        try:
            servable = open_servable(
                copy.folder,
                device=settings.device,
                threads=settings.torch_threads or _count_threads(settings),
                max_batch=settings.max_batch,
                native=settings.native,
                measure_threads=not settings.torch_threads,
                source=folder,
                live=self._live,
            )
        except BaseException:
            copy.close()
            raise
        if (difference := describe_difference(settings.history_types, servable.artifact.manifest)) is not None:
            log.warning("version %s: %s", servable.version, difference)
        weakref.finalize(servable, copy.close_in_thread).atexit = False
        self.new_items.add(servable)
        return servable


def read_limits(settings: Settings) -> Limits | None:
    """Return the limits of the comparison with the serving version; None if it is off."""
    if not settings.shadow_requests:
        return None
    return Limits(settings.shadow_max_latency_ratio, settings.shadow_min_overlap)


def _count_threads(settings: Settings) -> int:
    """Workers share the cores; a dedicated model process gets the cores that its workers leave."""
    if settings.model_process == "dedicated":
        return max(1, count_cores() - settings.worker_count)
    return max(1, count_cores() // settings.worker_count)
