"""Let a real service meet each fault under checked load, and state what its callers see.

    python -m service_tests.failures.failure_table --faults worker_killed redis_stopped --markdown table.md
    python -m service_tests.failures.failure_table --faults model_stopped --set NEXTUP_STALL_S=2

prints one JSON line per fault, and writes the table of docs/promises.md. The exit status is 1 if any answer was wrong,
any acknowledged event was lost, doubled or out of order, or the service did not recover.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from service_tests.failures.event_comparison import FAULTS as EVENT_FAULTS
from service_tests.failures.fault_trial import run_fault
from service_tests.failures.faults import FAULTS, NO_ALERT, Fault

HEADER = (
    "| failure | calls | callers see | wrong, lost, doubled | recovery, s | metric and alert | test |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def is_clean(figures: dict[str, Any]) -> bool:
    """Whether every answer was right, no event was lost, doubled or unordered, and the service recovered."""
    if "failure" in figures:
        return False
    return not figures["wrong"] and not any(figures[fault] for fault in EVENT_FAULTS) and figures["is_recovered"]


def format_row(figures: dict[str, Any]) -> str:
    fault = FAULTS[figures["fault"]]
    if "failure" in figures:
        return f"| {fault.title} | | {figures['failure'].splitlines()[0]} | | | | `{fault.test}` |"
    sights = [f"{source} {count:,}" for source, count in figures["answers"].items()]
    sights += [f"**{error} {count:,}**" for error, count in figures["errors"].items()]
    alert = "" if fault.alert == NO_ALERT else f", {fault.alert}"
    recovery = f"{figures['recovery_s']:g}" if figures["is_recovered"] else "none"
    cells = [
        fault.title,
        f"{figures['requests']:,}",
        ", ".join(sights),
        ", ".join(str(figures[name]) for name in ("wrong", "lost", "doubled")),
        f"{recovery} after the repair" if figures["is_repaired_from_outside"] else recovery,
        f"`{figures['metric']}`" + ("" if figures["metric_change"] else " (did not move)") + alert,
        f"`{fault.test}`",
    ]
    return f"| {' | '.join(cells)} |"


def with_variables(fault: Fault, variables: dict[str, str]) -> Fault:
    """Return the fault with more settings of its service, which those of the fault override."""
    arrangement = fault.arrangement
    return replace(fault, arrangement=replace(arrangement, variables=variables | arrangement.variables))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="FAULT")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of the services")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    arguments = parser.parse_args()
    if wrong := [text for text in arguments.set if "=" not in text]:
        parser.error(f"--set must be NAME=VALUE (got {wrong[0]!r})")
    variables = dict(text.split("=", 1) for text in arguments.set)
    rows = []
    with tempfile.TemporaryDirectory(prefix="nextup-faults-") as folder:
        for name in arguments.faults:
            try:
                figures = run_fault(name, with_variables(FAULTS[name], variables), Path(folder) / name)
            except AssertionError as error:
                figures = {"fault": name, "failure": str(error)}
            print(json.dumps(figures), flush=True)
            rows.append(figures)
    if arguments.markdown is not None:
        arguments.markdown.write_text("\n".join([HEADER, *map(format_row, rows)]) + "\n")
    return 0 if all(map(is_clean, rows)) else 1


if __name__ == "__main__":
    sys.exit(main())
