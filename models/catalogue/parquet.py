"""A catalogue as a table for people and other programs: catalogue.parquet, where row = index − 1.

The same as arrays, which are mapped and not read, is in `models/catalogue/arrays.py`.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.catalogue.catalogue import Catalogue
from models.catalogue.string_array import StringArray


def write_table(path: Path, catalogue: Catalogue) -> None:
    columns = {
        "item_id": _strings(catalogue.item_ids),
        "count": pl.Series(catalogue.counts, dtype=pl.Int64),
        "title": _strings(catalogue.title_strings, missing=catalogue.untitled),
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


def _strings(texts: StringArray, missing: NDArray[np.bool_] | None = None) -> pl.Series:
    if missing is not None and missing.all():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    written = pl.Series(texts[:], dtype=pl.String)
    return written if missing is None else pl.select(pl.when(~pl.Series(missing)).then(written)).to_series()
