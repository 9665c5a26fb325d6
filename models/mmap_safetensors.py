"""The tensors of a safetensors file as arrays over the mapped file: nothing is read before it is looked at.

safetensors' own reader for numpy copies every tensor, and the one that maps needs torch, 140 MB that a process without
a model can do without. The format is a length, a JSON head and the bytes. It knows nothing of what the arrays mean.
"""

import json
import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LENGTH_BYTES = 8
DTYPES = {"BOOL": "?", "U8": "u1", "I32": "<i4", "I64": "<i8"}
"""Of all that the format has, what files of ours hold as arrays."""


def mmap_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """By name; ValueError for another file. It must not be changed in place while an array of it lives.

    Pages are shared by all processes that map the file. Who writes into an array gets a copy of the page.
    """
    with path.open("rb") as file:
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    try:
        begin = LENGTH_BYTES + int.from_bytes(whole[:LENGTH_BYTES], "little")
        head = json.loads(whole[LENGTH_BYTES:begin])
        head.pop("__metadata__", None)
        return {name: _array(whole, begin, entry) for name, entry in head.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no file of arrays: {error!r}") from error


def _array(whole: mmap.mmap, begin: int, entry: dict[str, list[int]]) -> NDArray[np.generic]:
    kind = np.dtype(DTYPES[str(entry["dtype"])])
    first, last = entry["data_offsets"]
    if not 0 <= first <= last <= len(whole) - begin:
        raise ValueError("an array ends behind the file")
    found = np.frombuffer(whole, dtype=kind, count=(last - first) // kind.itemsize, offset=begin + first)
    return found.reshape(entry["shape"])
