"""The long run of all fuzzers against one service: raw bytes, requests from the OpenAPI document, and the REST model.

    python -m service_tests.failures.fuzz --requests 1000000

prints one JSON line per round and one at the end. The exit status is 1 after an answer that is not declared, a hang, a
difference from the model, a 500, or growth of memory and open files.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from service_tests.failures.openapi_fuzz import run_schemathesis
from service_tests.failures.raw_fuzz import send_seeds
from service_tests.failures.rest_machine import VARIABLES, run_machine
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.raw_client import count_files, read_memory
from service_tests.support.service_processes import WORKER, find_processes

ROUND = 20_000
"""Connections with raw bytes per round; the other fuzzers send a few percent of that."""
EXAMPLES_OF_OPENAPI, EXAMPLES_OF_MODEL = 10, 20
SCHEMATHESIS_S = 3600.0
GROWTH_BYTES, GROWTH_FILES = 40_000_000, 10
"""Allowed between the end of the first round and the end of the last."""
SETTLE_S = 4.0
HANG_S = 60.0
"""An exchange that takes longer is a hang; the long run shares a machine with other work."""
SETTINGS = {
    **VARIABLES,
    "NEXTUP_HEAD_TIMEOUT_S": "1",
    "NEXTUP_BODY_TIMEOUT_S": "1",
    "NEXTUP_KEEP_ALIVE_S": "1",
    "NEXTUP_ARCHIVE_S": "5",
}


def run_round(service: RunningService, number: int, folder: Path) -> dict[str, Any]:
    """Run each fuzzer once with its own seeds, and return counts and sizes; AssertionError for a fault."""
    port, started_at = int(service.url.rpartition(":")[2]), time.monotonic()
    statuses = asyncio.run(send_seeds(port, range(number * ROUND, (number + 1) * ROUND), HANG_S))
    requests = {"raw": ROUND, "model": run_machine(service.url, EXAMPLES_OF_MODEL)}
    if find_spec("schemathesis") is not None:
        requests["openapi"] = run_schemathesis(
            service.url, EXAMPLES_OF_OPENAPI, folder, seed=number, timeout_s=SCHEMATHESIS_S
        )
    time.sleep(SETTLE_S)  # the connections of the last seconds are closed
    codes = read_samples(service.url, "nextup_http_requests_total")
    assert not any("'500'" in labels for labels in codes), codes
    (worker,) = find_processes(service, WORKER)
    return {
        "round": number,
        "requests": requests,
        "raw_statuses": dict(sorted(statuses.items())),
        "worker": worker,
        "memory_bytes": read_memory(worker),
        "files": count_files(worker),
        "seconds": round(time.monotonic() - started_at),
    }


def find_growth(rounds: list[dict[str, Any]]) -> list[str]:
    """Compare the last round with the first one, after which caches are full."""
    first, last = rounds[0], rounds[-1]
    grown = []
    if last["worker"] != first["worker"]:
        grown.append("the worker was replaced")
    if last["memory_bytes"] - first["memory_bytes"] > GROWTH_BYTES:
        grown.append(f"memory grew from {first['memory_bytes']:,} to {last['memory_bytes']:,} bytes")
    if last["files"] - first["files"] > GROWTH_FILES:
        grown.append(f"open files grew from {first['files']} to {last['files']}")
    return grown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--first-round", type=int, default=0, help="continue with the seeds after an earlier run")
    arguments = parser.parse_args()
    rounds: list[dict[str, Any]] = []
    total = 0
    with tempfile.TemporaryDirectory(prefix="nextup-fuzz-") as folder:
        artifact = write_tiny_artifact(Path(folder) / "artifact")
        with run_service(Path(folder) / "data", "--artifact", str(artifact), **SETTINGS) as service:
            while total < arguments.requests:
                rounds.append(run_round(service, arguments.first_round + len(rounds), Path(folder)))
                total += sum(rounds[-1]["requests"].values())
                print(json.dumps(rounds[-1]), flush=True)
    faults = find_growth(rounds) + [line for line in service.output if "Traceback" in line]
    print(json.dumps({"requests": total, "rounds": len(rounds), "faults": faults, "passed": not faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
