"""Where the model runs and how many HTTP workers serve it, when the settings leave that to the machine.

On a CPU, one process per core with one compute thread each: measured faster than fewer processes with more threads
(docs/benchmarks/serve.md). On a GPU, one process owns the device and HTTP workers without a model query it.
"""

from pathlib import Path
from typing import Literal

from app.model_repository.repository import ModelRepository
from app.runtime.machine import count_cores, has_gpu, read_free_memory
from app.settings import Settings

WORKER_BASE_BYTES = 450_000_000
"""Memory of a worker before it has a model, most of it torch."""
LOADED_BYTES_PER_FILE_BYTE = 2.0
"""A loaded artifact against its files: weights once, the catalogue's text as Python objects."""
MAX_WORKERS_PER_DEVICE = 4
"""More HTTP workers than this produce more requests than one dedicated model process can serve."""
MEMORY_SHARE = 0.7
"""Share of the free memory that workers may take; Redis and the page cache need the rest."""


def resolve_placement(settings: Settings) -> Settings:
    """Resolve `auto` in `workers` and `model_process` for this machine."""
    workers = settings.workers
    if workers == "auto":
        in_process = settings.model_process == "in_process"
        workers = count_automatic_workers(settings.artifact, settings.device, in_process=in_process)
    placement = choose_placement(settings.model_process, settings.device, workers)
    return settings.model_copy(update={"workers": workers, "model_process": placement})


def count_automatic_workers(artifact: Path, device: str, *, in_process: bool = False) -> int:
    """Number of workers for this machine, at least 1; `artifact` need not exist yet.

    `in_process`: every worker must hold its own model.
    """
    if has_gpu(device):
        return 1 if in_process else max(1, min(count_cores() - 1, MAX_WORKERS_PER_DEVICE))
    try:
        folder = ModelRepository(artifact).find_target_folder()
    except ValueError:
        folder = artifact
    file_bytes = sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
    worker_bytes = WORKER_BASE_BYTES + LOADED_BYTES_PER_FILE_BYTE * file_bytes
    return max(1, min(count_cores(), int(MEMORY_SHARE * read_free_memory() / worker_bytes)))


def choose_placement(requested: str, device: str, workers: int) -> Literal["in_process", "dedicated"]:
    """Resolve `auto`: a dedicated process only where several workers would share one GPU.

    Several models on one GPU would each need its memory and delay each other's batches.
    """
    if requested == "auto":
        return "dedicated" if workers > 1 and has_gpu(device) else "in_process"
    return "dedicated" if requested == "dedicated" else "in_process"
