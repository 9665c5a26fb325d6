"""Builds the native library where there is a C++ compiler: `python -m models.native.build`, at installation.

The file is named after a digest of the sources and of how they are compiled, so a library of other sources is never
loaded. It stands beside the sources or, where these cannot be written, in the user's cache. Nothing is built when a
model is loaded or asked. It knows no model and needs neither torch nor numpy.
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
SANITISE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ONCE = ("encode", "runnable")
"""Sources that are the same for every kind of processor."""
X86 = ("x86_64", "AMD64")


def levels(machine: str) -> Mapping[str, Sequence[str]]:
    """Kinds of processors to compile for, by name; a library has all of them and chooses when it runs.

    LANES are the floats of a register; ROWS × 2 registers of sums fit into a processor's registers.
    """
    found: dict[str, Sequence[str]] = {"generic": ("-DLANES=4", "-DROWS=6")}
    if machine in X86:
        found["avx2"] = ("-DLANES=8", "-DROWS=6", *AVX2)
        found |= {
            name: ("-DLANES=16", "-DROWS=14", *flags) for name, flags in (("avx512", AVX512), ("avx512vbmi", VBMI))
        }
    return {name: (f"-DNAME={name}", *flags) for name, flags in found.items()}


def digest() -> str:
    """Of every source and of how it is compiled on this machine."""
    text = hashlib.sha256(repr((FLAGS, levels(platform.machine()), platform.machine())).encode())
    for path in sorted(path for path in SOURCES.iterdir() if path.suffix in {".h", ".cpp"}):
        text.update(path.name.encode() + path.read_bytes())
    return text.hexdigest()[:16]


def places() -> tuple[Path, Path]:
    """Where the library of these sources may be: beside them, or in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = f"encode-{digest()}.so"
    return SOURCES / "built" / name, cache / "nextup" / name


def compiler() -> str | None:
    return next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)


def compile_library(target: Path) -> None:
    """Compile and link into `target`, which appears whole or not at all; CalledProcessError has what was wrong."""
    with _compiled(target.parent, FLAGS) as objects:
        library = objects[0].parent / "library.so"
        _run([_compiler(), "-shared", "-pthread", *map(str, objects), "-o", str(library)])
        library.replace(target)


def compile_sanitised(main: Path, target: Path) -> None:
    """A program of `main` and the library, that ends at the first step outside its memory or the language."""
    flags = (*FLAGS, *SANITISE)
    with _compiled(target.parent, flags) as objects:
        sources = (f"-I{SOURCES}", str(main), *map(str, objects))
        _run([_compiler(), *flags, *sources, "-pthread", "-o", str(target)])


@contextmanager
def _compiled(beside: Path, flags: Sequence[str]) -> Iterator[list[Path]]:
    """The library's object files, until the block ends."""
    beside.mkdir(parents=True, exist_ok=True)
    kinds = levels(platform.machine())
    with tempfile.TemporaryDirectory(prefix="build-", dir=beside) as folder:
        jobs = [(*of_level, str(SOURCES / "level.cpp")) for of_level in kinds.values()]
        jobs += [(str(SOURCES / f"{name}.cpp"),) for name in ONCE]
        objects = [Path(folder) / f"{name}.o" for name in (*kinds, *ONCE)]
        for job, made in zip(jobs, objects, strict=True):
            _run([_compiler(), *flags, *job, "-c", "-o", str(made)])
        yield objects


def build() -> Path | None:
    """The library, built if it is not there yet; None without a compiler or where nothing can be written."""
    for place in places():
        if place.exists():
            return place
    if compiler() is None:
        return None
    for place in places():
        try:
            compile_library(place)
        except OSError:
            continue
        return place
    return None


def _compiler() -> str:
    if (found := compiler()) is None:
        raise FileNotFoundError("there is no C++ compiler here")
    return found


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  (the compiler and our files)


def main() -> int:
    """Says what came of it. Without a library models run on torch alone, so its lack is no error."""
    try:
        built = build()
    except subprocess.CalledProcessError as error:
        print(f"native library: not built, models will run on torch:\n{error.stderr}", file=sys.stderr)
        return 0
    print(f"native library: {built or 'no C++ compiler here, models will run on torch'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
