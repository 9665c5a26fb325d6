"""Checks of the machine and the installation: Python, packages, native code, device and memory."""

import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib import import_module

from app.cli.diagnosis.check import Check
from app.runtime.machine import count_cores, has_gpu, read_free_memory

MIN_PYTHON = (3, 11)
PACKAGES = ("torch", "numpy", "polars", "safetensors", "redis", "fastapi", "uvicorn", "pydantic", "msgspec", "httpx")
MIN_FREE_BYTES = 1_500_000_000
"""Memory that training the demo and serving it need together."""


def check_python() -> Check:
    found_version = f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"
    if sys.version_info < MIN_PYTHON:
        return Check("python", "failed", found_version, "install Python 3.11 or later, and nextup again with it")
    return Check("python", "ok", f"{found_version}, {sys.executable}")


def check_packages() -> Check:
    versions, problems = [], []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {getattr(import_module(name), '__version__', '?')}")
        except Exception as error:  # a package with a broken library raises OSError and others
            problems.append(f"{name}: {error}".splitlines()[0])
    if problems:
        return Check(
            "packages", "failed", "; ".join(problems), "install nextup again: pip install --force-reinstall nextup"
        )
    return Check("packages", "ok", ", ".join(versions))


def check_native_code() -> Check:
    from models.native.library import load_library

    library = load_library()
    if library is not None:
        return Check("native code", "ok", f"{library.levels[0]}, {library.path}")
    compiler = any(shutil.which(name) for name in ("c++", "g++", "clang++"))
    return Check(
        "native code",
        "warning",
        "not built; models run on torch, several times slower",
        "build it: python -m models.native.build" if compiler else "install a C++ compiler, g++ or clang++",
    )


def check_device() -> Check:
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Check("device", "ok", f"{properties.name}, {properties.total_memory / 1e9:.0f} GB")
    cores = count_cores()
    if has_gpu("auto"):
        return Check(
            "device",
            "warning",
            f"this machine has a GPU, but torch {torch.__version__} cannot use it; models run on {cores} cores",
            "install a build of torch for the version of its driver, see https://pytorch.org/get-started/locally",
        )
    return Check("device", "ok", f"{cores} processor cores, no GPU")


def check_memory() -> Check:
    free = read_free_memory()
    finding = f"{free / 1e9:.1f} GB free"
    if free < MIN_FREE_BYTES:
        return Check("memory", "warning", finding, "end other programs; `nextup plan` estimates what a service needs")
    return Check("memory", "ok", finding)


CHECKS: Mapping[str, Callable[[], Check]] = {
    "python": check_python,
    "packages": check_packages,
    "native code": check_native_code,
    "device": check_device,
    "memory": check_memory,
}
