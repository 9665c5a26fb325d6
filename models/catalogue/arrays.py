"""A catalogue as the arrays that it is made of: catalogue.safetensors, absent from older artifacts.

A mapped catalogue loads in milliseconds, and all processes of a machine share its memory. It needs neither torch nor
polars, so that a process without a model can know the items.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex
from models.catalogue.key_index import KeyIndex
from models.catalogue.string_array import StringArray
from models.mmap_safetensors import mmap_arrays


def write_arrays(path: Path, catalogue: Catalogue) -> None:
    arrays: dict[str, NDArray[np.generic]] = {
        "counts": catalogue.counts,
        "untitled": catalogue.untitled,
        "categories.numbers": catalogue.categories.numbers,
        "categories.ends": catalogue.categories.ends,
        "keys": catalogue.keys.keys.view(np.int64),  # signed, as artifacts have it since torch mapped them
        "indices": catalogue.keys.indices,
    }
    for name, texts in _texts(catalogue).items():
        arrays |= {f"{name}.text": texts.text, f"{name}.ends": texts.ends}
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def map_arrays(path: Path) -> Catalogue:
    """KeyError or ValueError for what is no catalogue. The file must not be changed in place while this lives."""
    arrays: dict[str, Any] = mmap_arrays(path)
    item_ids, titles, names = (
        StringArray(arrays[f"{name}.text"], arrays[f"{name}.ends"])
        for name in ("item_ids", "titles", "categories.names")
    )
    return Catalogue(
        item_ids,
        arrays["counts"],
        titles,
        CategoryIndex(names, arrays["categories.numbers"], arrays["categories.ends"]),
        untitled=arrays["untitled"],
        keys=KeyIndex(arrays["keys"].view(np.uint64), arrays["indices"]),
    )


def _texts(catalogue: Catalogue) -> dict[str, StringArray]:
    return {
        "item_ids": catalogue.item_ids,
        "titles": catalogue.title_strings,
        "categories.names": catalogue.categories.names,
    }
