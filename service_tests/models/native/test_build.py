"""Building: what is loaded is of these sources, a compiler that is not there is no error, files stay small."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.native import build
from models.native.library import Library


def test_other_sources_or_flags_have_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build.digest()
    assert build.digest() == first
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    assert build.digest() != first
    for source in build.SOURCES.glob("*.h"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    copied = build.digest()
    (tmp_path / "norm.h").write_text("// other")
    assert build.digest() not in {first, copied}


def test_without_a_compiler_the_build_says_so_and_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "places", lambda: (tmp_path / "a.so", tmp_path / "b.so"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.main() == 0
    assert "models will run on torch" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_beside_the_sources_goes_to_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if build.compiler() is None:
        pytest.skip("there is no C++ compiler here")
    (tmp_path / "file").write_text("no folder can be made in a file")
    cache = tmp_path / "cache" / "x.so"
    monkeypatch.setattr(build, "places", lambda: (tmp_path / "file" / "x.so", cache))
    assert build.build() == cache
    assert Library(cache).levels[-1] == "generic"
    written = cache.stat().st_mtime_ns
    assert build.build() == cache
    assert cache.stat().st_mtime_ns == written, "what is there is not built again"
    assert [path.name for path in cache.parent.iterdir()] == ["x.so"]


def test_a_source_that_does_not_compile_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if build.compiler() is None:
        pytest.skip("there is no C++ compiler here")
    monkeypatch.setattr(build, "places", lambda: (tmp_path / "x.so",))
    monkeypatch.setattr(build, "FLAGS", ("-DLANES=three",))
    assert build.main() == 0
    assert "not built" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_building_needs_neither_torch_nor_numpy() -> None:
    code = "import sys, models.native.build; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=build.SOURCES.parents[1])


def test_no_native_file_is_long() -> None:
    sources = [path for path in build.SOURCES.iterdir() if path.suffix in {".h", ".cpp"}]
    assert len(sources) > 5
    assert {path.name: n for path in sources if (n := len(path.read_text().splitlines())) > 220} == {}
    assert [path.name for path in sources if any(len(line) > 120 for line in path.read_text().splitlines())] == []
