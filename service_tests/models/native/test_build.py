"""Build of the native library: file name, cache, missing compiler, failed compilation."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.native import build
from models.native.library import Library

pytestmark = pytest.mark.process


def test_digest_depends_on_sources_and_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build.compute_digest()
    assert build.compute_digest() == first
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    assert build.compute_digest() != first
    for source in build.SOURCES.glob("*.h"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    copied = build.compute_digest()
    (tmp_path / "norm.h").write_text("// other")
    assert build.compute_digest() not in {first, copied}


def test_missing_compiler_is_reported_and_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "get_library_paths", lambda: (tmp_path / "a.so", tmp_path / "b.so"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.main() == 0
    assert "models will run on torch" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_read_only_source_folder_falls_back_to_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if build.find_compiler() is None:
        pytest.skip("this machine has no C++ compiler")
    (tmp_path / "file").write_text("a file cannot contain a folder")
    cache = tmp_path / "cache" / "x.so"
    monkeypatch.setattr(build, "get_library_paths", lambda: (tmp_path / "file" / "x.so", cache))
    assert build.build() == cache
    assert Library(cache).levels[-1] == "generic"
    modified_at = cache.stat().st_mtime_ns
    assert build.build() == cache
    assert cache.stat().st_mtime_ns == modified_at, "an existing library is not rebuilt"
    assert [path.name for path in cache.parent.iterdir()] == ["x.so"]


def test_failed_compilation_is_reported_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if build.find_compiler() is None:
        pytest.skip("this machine has no C++ compiler")
    monkeypatch.setattr(build, "get_library_paths", lambda: (tmp_path / "x.so",))
    monkeypatch.setattr(build, "FLAGS", ("-DLANES=three",))
    assert build.main() == 0
    assert "build failed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_build_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, models.native.build; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=build.SOURCES.parents[1])


def test_native_sources_are_short() -> None:
    sources = [path for path in build.SOURCES.iterdir() if path.suffix in {".h", ".cpp"}]
    assert len(sources) > 5
    assert {path.name: n for path in sources if (n := len(path.read_text().splitlines())) > 220} == {}
    assert [path.name for path in sources if any(len(line) > 120 for line in path.read_text().splitlines())] == []
