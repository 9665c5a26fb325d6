"""Benchmark records: a Markdown page and a JSON file with the result, machine, commit and command.

Results without those cannot be compared.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import app

PACKAGES = ("torch", "numpy", "uvicorn", "fastapi", "redis")
UNKNOWN = "not known"


def collect_machine_facts() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _read_field("/proc/cpuinfo", "model name") or platform.processor() or UNKNOWN,
        "cores": cores,
        "memory": _read_field("/proc/meminfo", "MemTotal") or UNKNOWN,
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: get_package_version(name) for name in PACKAGES},
    }


def get_package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def get_commit() -> str:
    """Return the commit of the running code, with `+` if files are modified."""
    root = Path(app.__file__).parents[1]
    try:
        description = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],  # noqa: S607 - the git on PATH
            cwd=root, capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return description.stdout.strip()


def collect_provenance() -> dict[str, str]:
    """Collect the command, the commit and the time of a benchmark that has ended."""
    return {
        "command": shlex.join(["nextup", *sys.argv[1:]]),
        "commit": get_commit(),
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def format_provenance(facts: Mapping[str, Any]) -> dict[str, str]:
    """Format the command, commit, time and machine of a benchmark for the end of its page."""
    return {name: str(value) for name, value in {**collect_provenance(), **facts}.items()}


def write_record(folder: Path, name: str, text: str, result: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write `name`.md and `name`.json to the folder, creating it and replacing earlier records.

    `facts` come from `collect_machine_facts` before the run, so that the load average excludes the benchmark.
    """
    folder.mkdir(parents=True, exist_ok=True)
    provenance = collect_provenance()
    (folder / f"{name}.json").write_text(
        json.dumps({**provenance, "machine": facts, "result": result}, indent=1) + "\n"
    )
    lines = [f"- {key}: {value}" for key, value in {**provenance, **facts}.items()]
    page = [f"# nextup bench {name}", "", "```text", text.rstrip(), "```", "", *lines]
    (folder / f"{name}.md").write_text("\n".join(page) + "\n")


def _read_field(path: str, field: str) -> str | None:
    """Return the text after the colon of the first line that begins with `field`."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), None)
