"""Resident memory of the service: what each worker has for itself, and the mapped files that all of them share.

Pages of a mapped file count once. At the start only weights and counts have been read; `mapped` is what has been read
once every item was asked for, and the kernel may drop it again. It knows no machine: the base comes from outside.
"""

from dataclasses import asdict, dataclass

from app.bench.resources import ResidentMemory
from app.capacity import constants as measured
from app.capacity.artifact_files import COUNTS, ItemText, compute_catalogue_bytes
from app.capacity.shapes import ModelShape


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """Bytes of one worker's own memory by part, and of mapped files by part."""

    base: int
    service: int
    model: int
    scorers: int
    heap: int
    libraries: int
    weights: int
    catalogue: int
    index: int
    catalogue_at_start: int

    @property
    def own(self) -> int:
        return self.base + self.service + self.model + self.scorers + self.heap

    @property
    def mapped(self) -> int:
        """Once every item was asked for."""
        return self.libraries + self.weights + self.catalogue + self.index

    @property
    def mapped_at_start(self) -> int:
        return self.libraries + self.weights + self.catalogue_at_start

    @property
    def without_service(self) -> ResidentMemory:
        """Of a process that answers, without HTTP and Redis."""
        return ResidentMemory(self.own - self.service, self.mapped)

    def total_for(self, workers: int) -> ResidentMemory:
        """All processes of the service, shared pages counted once."""
        supervisor = measured.SUPERVISOR_OWN if workers > 1 else 0
        return ResidentMemory(workers * self.own + supervisor, self.mapped)

    def figures(self) -> dict[str, int]:
        return {**asdict(self), "own": self.own, "mapped": self.mapped, "mapped_at_start": self.mapped_at_start}


def estimate_worker_memory(
    shape: ModelShape, text: ItemText, base: ResidentMemory, *, index: bool = False
) -> WorkerMemory:
    """On a CPU, after some thousand requests."""
    heap = measured.HEAP_MIN
    if shape.scorers.scores_written:
        heap += min(measured.HEAP_SCORES * shape.score_bytes, measured.HEAP_MAX)
    if index:
        heap += measured.INDEX_HEAP
    return WorkerMemory(
        base=base.own,
        service=measured.SERVICE_OWN,
        model=measured.MODEL_OWN + shape.weights - shape.mapped_weights,
        scorers=shape.index.extra_bytes if index else shape.scorers.extra_bytes,
        heap=heap,
        libraries=base.mapped + measured.MODEL_MAPPED,
        weights=shape.mapped_weights,
        catalogue=compute_catalogue_bytes(shape.items, text),
        index=shape.index.file_bytes if index else 0,
        catalogue_at_start=COUNTS * shape.items,
    )


def estimate_device_memory(shape: ModelShape) -> dict[str, int]:
    """Bytes on an accelerator that follow from shapes: weights, and a batch of 32 that is scored at once."""
    return {"weights": shape.weights, "workspace": shape.score_bytes + shape.hidden_bytes}
