"""Memory-map the tensors of a safetensors file as numpy arrays, without reading them.

safetensors' own numpy reader copies every tensor, and its mapping reader needs torch, 140 MB that a process without a
model does not need. The format is a header length, a JSON header and the bytes.
"""

import json
import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LENGTH_BYTES = 8
DTYPES = {"BOOL": "?", "U8": "u1", "I32": "<i4", "I64": "<i8"}
"""The safetensors dtypes that our array files use."""


def mmap_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Map all arrays of a file, keyed by tensor name; ValueError if it is not a safetensors file.

    Pages are shared by all processes that map the file and copied on write. Do not change the file in place while an
    array is in use.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        start = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
        if start > len(data):
            raise ValueError("its header extends past the end of the file")
        header = json.loads(data[LENGTH_BYTES:start])
        header.pop("__metadata__", None)
        return {name: _make_array(data, start, entry) for name, entry in header.items()}
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{path} is not a valid safetensors file: {error!r}") from error


def mmap_array(path: Path, name: str) -> NDArray[np.generic] | None:
    """Map one array of a file that may also have tensors of other types; None if there is none with this name.

    ValueError if the file is not a safetensors file.
    """
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        start = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
        entry = json.loads(data[LENGTH_BYTES:start]).get(name)
        return None if entry is None else _make_array(data, start, entry)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a valid safetensors file: {error!r}") from error


def _make_array(data: mmap.mmap, start: int, entry: dict[str, list[int]]) -> NDArray[np.generic]:
    dtype = np.dtype(DTYPES[str(entry["dtype"])])
    first, last = entry["data_offsets"]
    if not 0 <= first <= last <= len(data) - start:
        raise ValueError("an array extends past the end of the file")
    array = np.frombuffer(data, dtype=dtype, count=(last - first) // dtype.itemsize, offset=start + first)
    return array.reshape(entry["shape"])
