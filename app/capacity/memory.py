"""Resident memory of the service: private memory of each worker, and mapped files that all workers share.

Pages of a mapped file count once. At startup only weights and counts have been read; `mapped` assumes that every item
has been requested, and the kernel may evict those pages.
"""

from dataclasses import asdict, dataclass

from app.bench.resources import ResidentMemory
from app.capacity import constants
from app.capacity.artifact_files import COUNT_BYTES, ItemText, compute_catalogue_bytes
from app.capacity.shapes import ModelShape


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """Bytes by part of one worker's private memory and of mapped files."""

    base: int
    service: int
    model: int
    scorers: int
    heap: int
    live: int
    """Columns of the live catalogue."""
    libraries: int
    weights: int
    catalogue: int
    index: int
    catalogue_at_start: int

    @property
    def own(self) -> int:
        return self.base + self.service + self.model + self.scorers + self.heap + self.live

    @property
    def mapped(self) -> int:
        """Bytes of mapped files once every item has been requested."""
        return self.libraries + self.weights + self.catalogue + self.index

    @property
    def mapped_at_start(self) -> int:
        return self.libraries + self.weights + self.catalogue_at_start

    @property
    def without_service(self) -> ResidentMemory:
        """Memory of a process that only runs the model, without HTTP and Redis."""
        return ResidentMemory(self.own - self.service, self.mapped)

    def total_for(self, workers: int) -> ResidentMemory:
        """Return the memory of all processes together, shared pages counted once."""
        own, mapped = workers * self.own + constants.SUPERVISOR_OWN, self.mapped + constants.ARCHIVER_MAPPED
        return ResidentMemory(own, mapped)

    def to_dict(self) -> dict[str, int]:
        return {**asdict(self), "own": self.own, "mapped": self.mapped, "mapped_at_start": self.mapped_at_start}


def estimate_worker_memory(
    shape: ModelShape, text: ItemText, base: ResidentMemory, *, index: bool = False, live_bytes: int = 0
) -> WorkerMemory:
    """Estimate a worker on a CPU after some thousand requests; `base` is an imported service without a model.

    `live_bytes` are those of the live catalogue in a process.
    """
    heap = constants.HEAP_MIN
    if shape.scorers.scores_written:
        heap += min(constants.HEAP_SCORES * shape.score_bytes, constants.HEAP_MAX)
    if index:
        heap += constants.INDEX_HEAP
    return WorkerMemory(
        base=base.own,
        service=constants.SERVICE_OWN,
        model=constants.MODEL_OWN + shape.weights - shape.mapped_weights,
        scorers=shape.index.extra_bytes if index else shape.scorers.extra_bytes,
        heap=heap,
        live=live_bytes,
        libraries=base.mapped + constants.MODEL_MAPPED,
        weights=shape.mapped_weights,
        catalogue=compute_catalogue_bytes(shape.items, text),
        index=shape.index.file_bytes if index else 0,
        catalogue_at_start=COUNT_BYTES * shape.items,
    )


def estimate_device_memory(shape: ModelShape) -> dict[str, int]:
    """Estimate accelerator bytes that follow from shapes: weights, and one batch of 32 scored at once."""
    return {"weights": shape.weights, "workspace": shape.score_bytes + shape.hidden_bytes}
