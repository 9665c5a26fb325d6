"""The catalogue files of an artifact: their names, and the arrays that a service memory-maps.

    catalogue.parquet        item_id, count, title, categories; row = index − 1 (written by `parquet.py`)
    catalogue.safetensors    the same catalogue as arrays

A memory-mapped catalogue loads in milliseconds, and all processes of a machine share its pages. This module needs
neither torch nor polars, so a process without a model can look up items. Values are checked (`checks.py`), digests are
not; `load_artifact` does that.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex
from models.catalogue.checks import check_catalogue, check_strings
from models.catalogue.item_key import KeyIndex
from models.catalogue.string_array import StringArray
from models.mmap_safetensors import mmap_arrays

TABLE, ARRAYS = "catalogue.parquet", "catalogue.safetensors"
DTYPES = {
    "counts": "int64",
    "untitled": "bool",
    "categories.numbers": "int32",
    "keys": "int64",
    "indices": "int32",
    **{f"{name}.text": "uint8" for name in ("item_ids", "titles", "categories.names")},
    **{f"{name}.ends": "int64" for name in ("item_ids", "titles", "categories.names", "categories")},
}
"""Types of the arrays, all of them with one dimension."""


def write_arrays(path: Path, catalogue: Catalogue) -> None:
    """Write the catalogue as safetensors arrays."""
    arrays: dict[str, NDArray[np.generic]] = {
        "counts": catalogue.counts,
        "untitled": catalogue.untitled,
        "categories.numbers": catalogue.categories.numbers,
        "categories.ends": catalogue.categories.ends,
        "keys": catalogue.keys.keys.view(np.int64),  # the file format has signed keys
        "indices": catalogue.keys.indices,
    }
    strings = {
        "item_ids": catalogue.item_ids,
        "titles": catalogue.title_strings,
        "categories.names": catalogue.categories.names,
    }
    for name, array in strings.items():
        arrays |= {f"{name}.text": array.text, f"{name}.ends": array.ends}
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def open_catalogue(folder: Path) -> Catalogue:
    """Memory-map and check the catalogue of an artifact; do not change its file in place while it is in use.

    ValueError names the file, and the array that is missing, of another type or with a value out of bounds.
    """
    path = folder / ARRAYS
    if not path.is_file():
        raise ValueError(f"{path} is missing; export the artifact again")
    try:
        catalogue = _read_catalogue(path)
        check_catalogue(catalogue)
    except ValueError as error:
        raise ValueError(f"{path} holds no valid catalogue: {error}; export the artifact again") from error
    return catalogue


def _read_catalogue(path: Path) -> Catalogue:
    arrays: dict[str, Any] = mmap_arrays(path)
    for name, dtype in DTYPES.items():
        if name not in arrays:
            raise ValueError(f"{name} is missing")
        if arrays[name].dtype != dtype or arrays[name].ndim != 1:
            form = f"{arrays[name].dtype} with {arrays[name].ndim} dimensions"
            raise ValueError(f"{name} is {form} instead of {dtype} with one")
    item_ids, titles, names = (
        StringArray(arrays[f"{name}.text"], arrays[f"{name}.ends"])
        for name in ("item_ids", "titles", "categories.names")
    )
    check_strings("categories.names", names)  # the constructor decodes them
    return Catalogue(
        item_ids,
        arrays["counts"],
        titles,
        CategoryIndex(names, arrays["categories.numbers"], arrays["categories.ends"]),
        untitled=arrays["untitled"],
        keys=KeyIndex(arrays["keys"].view(np.uint64), arrays["indices"]),
    )
