"""What a benchmark found, kept as a page for people and a JSON file: with the machine, the commit and the command.

Figures without those cannot be compared with anything. It knows no benchmark.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
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
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor() or UNKNOWN,
        "cores": cores,
        "memory": _first("/proc/meminfo", "MemTotal") or UNKNOWN,
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
    """Of the code that runs; with + where files differ from it."""
    root = Path(app.__file__).parents[1]
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],  # noqa: S607 - whichever there is
            cwd=root, capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return found.stdout.strip()


def record(folder: Path, name: str, text: str, result: dict[str, Any], facts: dict[str, Any]) -> None:
    """`name`.md and `name`.json in the folder, which is made; what was there under the name is replaced.

    `facts` are `collect_machine_facts` from before the run, when the load was not yet its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "command": shlex.join(["nextup", *sys.argv[1:]]),
        "commit": get_commit(),
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }
    (folder / f"{name}.json").write_text(json.dumps({**about, "machine": facts, "result": result}, indent=1) + "\n")
    lines = [f"- {key}: {value}" for key, value in {**about, **facts}.items()]
    page = [f"# nextup bench {name}", "", "```", text.rstrip(), "```", "", *lines]
    (folder / f"{name}.md").write_text("\n".join(page) + "\n")


def _first(path: str, field: str) -> str | None:
    """What stands after the colon of the first line that begins with the field."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), None)
