"""Resident memory of a process that has imported the service without a model, measured in a separate process.

    python -m app.capacity.base_memory

It is about 290 MB, most of it torch, and differs between builds of torch by hundreds, so it is measured on the machine
that estimates, which takes two seconds.
"""

import json
import os
from dataclasses import asdict, dataclass

from app.bench.resources import ResidentMemory, read_resident
from app.capacity import constants
from app.runtime.subprocesses import run_module

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class BaseMemory:
    resident: ResidentMemory
    is_measured: bool


def measure_base_memory() -> BaseMemory:
    """Measure this installation, or use recorded constants without /proc; ChildFailed if the import fails."""
    resident = json.loads(run_module("app.capacity.base_memory", timeout_s=TIMEOUT_S).splitlines()[-1])
    if resident is None:
        return BaseMemory(ResidentMemory(constants.BASE_OWN, constants.BASE_MAPPED), is_measured=False)
    return BaseMemory(ResidentMemory(**resident), is_measured=True)


def main() -> None:
    import gc

    import app.main
    import app.model_server.local_model  # noqa: F401 - includes the imports of a model in this process

    gc.collect()
    resident = read_resident(os.getpid())
    print(json.dumps(asdict(resident) if resident else None))


if __name__ == "__main__":
    main()
