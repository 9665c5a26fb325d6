"""The catalogue files of an artifact: their names, and the arrays that a service memory-maps.

    catalogue.parquet        item_id, count, title, categories, attributes; row = index − 1 (written by `parquet.py`)
    catalogue.safetensors    the same catalogue as arrays

A memory-mapped catalogue loads in milliseconds, and all processes of a machine share its pages. This module needs
neither torch nor polars, so a process without a model can look up items. Values are checked (`checks.py`), digests are
not; `load_artifact` does that. Artifacts of items without attributes, and those of earlier releases, lack the arrays
of ATTRIBUTE_DTYPES; earlier releases ignore them.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from models.catalogue.attributes import AttributeFeatures
from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex
from models.catalogue.checks import check_catalogue, check_ends, check_strings
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
ATTRIBUTE_DTYPES = {
    "attributes.numbers": "int32",
    "attributes.ends": "int64",
    "attributes.names.text": "uint8",
    "attributes.names.ends": "int64",
    "bins.edges": "int64",
    "bins.ends": "int64",
    "bins.names.text": "uint8",
    "bins.names.ends": "int64",
}
"""All or none of them: features of attributes as categories are stored, and per number the edges of its bins."""


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
    if catalogue.attributes.has_features:
        arrays |= _list_attribute_arrays(catalogue.attributes)
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
    has_attributes = not ATTRIBUTE_DTYPES.keys().isdisjoint(arrays)
    for name, dtype in (DTYPES | ATTRIBUTE_DTYPES if has_attributes else DTYPES).items():
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
        attributes=_read_attributes(arrays) if has_attributes else None,
    )


def _list_attribute_arrays(attributes: AttributeFeatures) -> dict[str, NDArray[np.generic]]:
    edges = list(attributes.edges.values())
    names = StringArray.from_strings(attributes.edges)
    return {
        "attributes.numbers": attributes.index.numbers,
        "attributes.ends": attributes.index.ends,
        "attributes.names.text": attributes.index.names.text,
        "attributes.names.ends": attributes.index.names.ends,
        "bins.edges": np.concatenate([np.empty(0), *edges]).view(np.int64),  # as earlier releases read all arrays
        "bins.ends": np.cumsum([len(each) for each in edges], dtype=np.int64),
        "bins.names.text": names.text,
        "bins.names.ends": names.ends,
    }


def _read_attributes(arrays: dict[str, Any]) -> AttributeFeatures:
    features, names = (
        StringArray(arrays[f"{name}.names.text"], arrays[f"{name}.names.ends"]) for name in ("attributes", "bins")
    )
    check_strings("attributes.names", features)
    check_strings("bins.names", names)
    ends = arrays["bins.ends"]
    check_ends("bins.ends", ends, len(arrays["bins.edges"]))
    if len(ends) != len(names):
        raise ValueError(f"bins.ends holds {len(ends)} ends instead of {len(names)}")
    parts = np.split(arrays["bins.edges"].view(np.float64), ends[:-1]) if len(ends) else []
    index = CategoryIndex(features, arrays["attributes.numbers"], arrays["attributes.ends"])
    return AttributeFeatures(index, dict(zip(names, parts, strict=True)))
