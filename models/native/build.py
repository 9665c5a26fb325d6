"""Builds the native library where there is a C++ compiler: `python -m models.native.build`, at installation.

The file name contains a digest of the sources and compiler flags, so a library of other sources is never loaded. The
file is next to the sources or, where these are read-only, in the user's cache. Loading or serving a model never builds
it. Needs neither torch nor numpy.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SOURCES = Path(__file__).parent
FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-ffp-contract=fast", "-fno-math-errno"),
    *("-Wall", "-Wextra", "-Wno-psabi", "-Wno-unknown-pragmas"),
)
AVX2 = ("-mavx2", "-mfma")
AVX512 = (*AVX2, "-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mprefer-vector-width=512")
VBMI = (*AVX512, "-mavx512vbmi", "-mbmi2")
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
COMMON_SOURCES = ("c_api", "dispatch")
"""Sources that are compiled once, for all instruction sets."""
X86 = ("x86_64", "AMD64")


def list_levels(machine: str) -> Mapping[str, Sequence[str]]:
    """Return compiler flags by instruction set; a library contains all of them and selects one at run time.

    LANES: floats in a register. ROWS: height of a matrix tile, of which ROWS × 2 registers hold the sums.
    """
    levels: dict[str, Sequence[str]] = {"generic": ("-DLANES=4", "-DROWS=6")}
    if machine in X86:
        levels["avx2"] = ("-DLANES=8", "-DROWS=6", *AVX2)
        levels["avx512"] = ("-DLANES=16", "-DROWS=14", *AVX512)
        levels["avx512vbmi"] = ("-DLANES=16", "-DROWS=14", *VBMI)
    return {name: (f"-DNAME={name}", *flags) for name, flags in levels.items()}


def compute_digest() -> str:
    """Hash every source, the compiler flags and the machine type."""
    digest = hashlib.sha256(repr((FLAGS, list_levels(platform.machine()), platform.machine())).encode())
    for path in sorted(path for path in SOURCES.iterdir() if path.suffix in {".h", ".cpp"}):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def get_library_paths() -> tuple[Path, Path]:
    """Return where the library of these sources may be: next to them, or in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = f"encode-{compute_digest()}.so"
    return SOURCES / "built" / name, cache / "nextup" / name


def find_compiler() -> str | None:
    return next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)


def compile_library(target: Path) -> None:
    """Compile and link into `target` atomically; CalledProcessError has the compiler's output."""
    with _compile_objects(target.parent, FLAGS) as objects:
        library = objects[0].parent / "library.so"
        _run([_require_compiler(), "-shared", "-pthread", *map(str, objects), "-o", str(library)])
        library.replace(target)


def compile_sanitized(main: Path, target: Path) -> None:
    """Compile a program of `main` and the library that aborts on memory errors and undefined behavior."""
    flags = (*FLAGS, *SANITIZE)
    with _compile_objects(target.parent, flags) as objects:
        sources = (f"-I{SOURCES}", str(main), *map(str, objects))
        _run([_require_compiler(), *flags, *sources, "-pthread", "-o", str(target)])


@contextmanager
def _compile_objects(parent: Path, flags: Sequence[str]) -> Iterator[list[Path]]:
    """Compile the library's object files into a temporary folder of `parent`."""
    parent.mkdir(parents=True, exist_ok=True)
    levels = list_levels(platform.machine())
    with tempfile.TemporaryDirectory(prefix="build-", dir=parent) as folder:
        jobs = [(*level_flags, str(SOURCES / "level.cpp")) for level_flags in levels.values()]
        jobs += [(str(SOURCES / f"{name}.cpp"),) for name in COMMON_SOURCES]
        objects = [Path(folder) / f"{name}.o" for name in (*levels, *COMMON_SOURCES)]
        for job, output in zip(jobs, objects, strict=True):
            _run([_require_compiler(), *flags, *job, "-c", "-o", str(output)])
        yield objects


def build() -> Path | None:
    """Build the library unless it exists; None without a compiler or where no path is writable."""
    for path in get_library_paths():
        if path.exists():
            return path
    if find_compiler() is None:
        return None
    for path in get_library_paths():
        try:
            compile_library(path)
        except OSError:
            continue
        return path
    return None


def _require_compiler() -> str:
    if (compiler := find_compiler()) is None:
        raise FileNotFoundError("no C++ compiler found; install g++ or clang++")
    return compiler


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  (the compiler and our files)


def main() -> int:
    """Build and print the result. Models run on torch without the library, so a failed build is not an error."""
    try:
        path = build()
    except subprocess.CalledProcessError as error:
        print(f"native library: build failed, models will run on torch:\n{error.stderr}", file=sys.stderr)
        return 0
    print(f"native library: {path or 'no C++ compiler or no writable folder, models will run on torch'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
