"""A catalogue as two files: a table for people and other programs, and the same as arrays that are mapped, not read.

    catalogue.parquet        item_id, count, title, categories; row = index − 1
    catalogue.safetensors    the arrays of `models/catalogue.py`; made from the table, and absent from older artifacts

A mapped catalogue loads in milliseconds, and all processes of a machine share its memory.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import save_file
from safetensors.torch import load_file

from models.catalogue import Catalogue
from models.category_sets import CategorySets
from models.key_index import KeyIndex
from models.texts import Texts


def write_table(path: Path, catalogue: Catalogue) -> None:
    columns = {
        "item_id": _strings(catalogue.item_ids),
        "count": pl.Series(catalogue.counts, dtype=pl.Int64),
        "title": _strings(catalogue.title_texts, missing=catalogue.untitled),
        "categories": pl.Series([list(names) for names in catalogue.categories], dtype=pl.List(pl.String))
        if len(catalogue.categories.numbers)
        else pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, catalogue.num_items),
    }
    pl.DataFrame(columns).write_parquet(path)


def read_table(path: Path) -> Catalogue:
    """ValueError or polars' own for what is no catalogue."""
    rows = pl.read_parquet(path)
    counts = rows["count"].to_numpy().astype(np.int64)
    return Catalogue(rows["item_id"].to_list(), counts, rows["title"].to_list(), rows["categories"].to_list())


def write_arrays(path: Path, catalogue: Catalogue) -> None:
    arrays: dict[str, NDArray[np.generic]] = {
        "counts": catalogue.counts,
        "untitled": catalogue.untitled,
        "categories.numbers": catalogue.categories.numbers,
        "categories.ends": catalogue.categories.ends,
        "keys": catalogue.keys.keys.view(np.int64),  # torch maps signed numbers
        "indices": catalogue.keys.indices,
    }
    for name, texts in _texts(catalogue).items():
        arrays |= {f"{name}.text": texts.text, f"{name}.ends": texts.ends}
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def map_arrays(path: Path) -> Catalogue:
    """KeyError or ValueError for what is no catalogue. The file must not be changed in place while this lives."""
    arrays = {name: tensor.numpy() for name, tensor in load_file(path).items()}
    item_ids, titles, names = (
        Texts(arrays[f"{name}.text"], arrays[f"{name}.ends"]) for name in ("item_ids", "titles", "categories.names")
    )
    return Catalogue(
        item_ids,
        arrays["counts"],
        titles,
        CategorySets(names, arrays["categories.numbers"], arrays["categories.ends"]),
        untitled=arrays["untitled"],
        keys=KeyIndex(arrays["keys"].view(np.uint64), arrays["indices"]),
    )


def _texts(catalogue: Catalogue) -> dict[str, Texts]:
    return {
        "item_ids": catalogue.item_ids,
        "titles": catalogue.title_texts,
        "categories.names": catalogue.categories.names,
    }


def _strings(texts: Texts, missing: NDArray[np.bool_] | None = None) -> pl.Series:
    if missing is not None and missing.all():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    written = pl.Series(texts[:], dtype=pl.String)
    return written if missing is None else pl.select(pl.when(~pl.Series(missing)).then(written)).to_series()
