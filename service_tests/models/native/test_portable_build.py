"""The library builds where the machine is not x86: no flag, intrinsic or level of x86 is needed."""

import re
import subprocess
from pathlib import Path

import pytest

from models.native.build import COMMON_SOURCES, FLAGS, SOURCES, find_compiler, list_levels

UNDEFINED = ("__x86_64__", "__i386__", "__SSE2__", "__AVX512VBMI__")


@pytest.mark.parametrize("machine", ["aarch64", "arm64", "riscv64", "ppc64le"])
def test_other_machines_have_the_generic_level_without_x86_flags(machine: str) -> None:
    levels = list_levels(machine)
    assert list(levels) == ["generic"]
    assert [flag for flag in (*levels["generic"], *FLAGS) if flag.startswith("-m")] == []


def test_x86_has_more_levels() -> None:
    assert list(list_levels("x86_64")) == ["generic", "avx2", "avx512", "avx512vbmi"]


@pytest.mark.process
@pytest.mark.slow
def test_sources_compile_and_link_without_the_macros_of_x86(tmp_path: Path) -> None:
    compiler = find_compiler()
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    prelude = write_prelude(tmp_path)
    jobs = dict.fromkeys(COMMON_SOURCES, ()) | {"level": list_levels("aarch64")["generic"]}
    for name, flags in jobs.items():
        output = str(tmp_path / f"{name}.o")
        command = [
            compiler,
            *FLAGS,
            "-O0",
            "-include",
            str(prelude),
            *flags,
            "-c",
            str(SOURCES / f"{name}.cpp"),
            "-o",
            output,
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
    objects = [str(tmp_path / f"{name}.o") for name in jobs]
    library = tmp_path / "library.so"
    linked = subprocess.run([compiler, "-shared", "-pthread", *objects, "-o", str(library)], check=False)
    assert linked.returncode == 0
    assert b"level_avx2" not in library.read_bytes()


def write_prelude(folder: Path) -> Path:
    """Write a header that includes the system's headers as they are and then undefines the macros of x86."""
    sources = "".join(path.read_text() for path in SOURCES.iterdir() if path.suffix in {".h", ".cpp"})
    headers = sorted(set(re.findall(r"#include <(.+)>", sources)) - {"immintrin.h"})
    lines = [f"#include <{header}>" for header in headers] + [f"#undef {macro}" for macro in UNDEFINED]
    prelude = folder / "prelude.h"
    prelude.write_text("\n".join(lines) + "\n")
    return prelude
