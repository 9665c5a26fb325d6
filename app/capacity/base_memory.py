"""What a process takes that has imported the service and has no model yet: measured here, in a process of its own.

    python -m app.capacity.base_memory

It is some 290 MB, most of it torch, and differs between builds of torch by hundreds: so it is measured where the
forecast is asked for, in two seconds. It knows no model.
"""

import json
import os
from dataclasses import asdict, dataclass

from app.bench.resources import ResidentMemory, read_resident
from app.capacity import constants as measured
from app.runtime.subprocesses import run_module

LONGEST_S = 120.0


@dataclass(frozen=True, slots=True)
class BaseMemory:
    resident: ResidentMemory
    is_measured: bool


def measure_base_memory() -> BaseMemory:
    """Of this installation; the kept figures where there is no /proc. ChildFailed if the service cannot be imported."""
    said = json.loads(run_module("app.capacity.base_memory", timeout_s=LONGEST_S).splitlines()[-1])
    if said is None:
        return BaseMemory(ResidentMemory(measured.BASE_OWN, measured.BASE_MAPPED), is_measured=False)
    return BaseMemory(ResidentMemory(**said), is_measured=True)


def main() -> None:
    import gc

    import app.main
    import app.model_server.local_model  # noqa: F401 - and what it imports for a model of its own

    gc.collect()
    found = read_resident(os.getpid())
    print(json.dumps(asdict(found) if found else None))


if __name__ == "__main__":
    main()
