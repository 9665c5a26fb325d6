"""mmap_arrays returns what safetensors wrote, and rejects other files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.mmap_safetensors import mmap_arrays

ARRAYS: dict[str, NDArray[Any]] = {
    "wide": np.arange(12, dtype=np.int64).reshape(3, 4),
    "small": np.array([7, -7], dtype=np.int32),
    "bytes": np.frombuffer(b"odd", dtype=np.uint8),
    "flags": np.array([True, False]),
    "none": np.empty(0, dtype=np.int32),
}


def test_mapped_arrays_equal_the_saved_ones_and_writes_do_not_reach_the_file(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "file")
    before = (tmp_path / "file").read_bytes()
    mapped = mmap_arrays(tmp_path / "file")
    loaded = load_file(tmp_path / "file")
    assert mapped.keys() == loaded.keys() == ARRAYS.keys()
    for name, array in loaded.items():
        assert (mapped[name].dtype, mapped[name].tolist()) == (array.dtype, array.tolist())
    mapped["wide"][0, 0] = 99
    assert (tmp_path / "file").read_bytes() == before


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x02" + bytes(7) + b"[]", b"short"])
def test_invalid_file_error_names_the_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="file"):
        mmap_arrays(tmp_path / "file")


def test_array_past_the_end_of_the_file_raises(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "file")
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:-8])
    with pytest.raises(ValueError, match="past the end of the file"):
        mmap_arrays(tmp_path / "file")
