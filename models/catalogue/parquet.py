"""The catalogue as a Parquet table for inspection and other programs; row = index − 1.

Separate from `files.py` because it needs polars: 15 MB that a service does not need.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.catalogue.catalogue import Catalogue
from models.catalogue.string_array import StringArray


def write_table(path: Path, catalogue: Catalogue) -> None:
    """Write item_id, count, title and categories, and the features of attributes where items have some."""
    columns = {
        "item_id": _to_series(catalogue.item_ids),
        "count": pl.Series(catalogue.counts, dtype=pl.Int64),
        "title": _to_series(catalogue.title_strings, missing=catalogue.untitled),
        "categories": pl.Series([list(names) for names in catalogue.categories], dtype=pl.List(pl.String))
        if len(catalogue.categories.numbers)
        else pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, catalogue.num_items),
    }
    if catalogue.attributes.has_features:
        features = [list(names) for names in catalogue.attributes.index]
        columns["attributes"] = pl.Series(features, dtype=pl.List(pl.String))
    pl.DataFrame(columns).write_parquet(path)


def _to_series(strings: StringArray, missing: NDArray[np.bool_] | None = None) -> pl.Series:
    """Null where `missing` is True."""
    if missing is not None and missing.all():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(strings))
    series = pl.Series(strings[:], dtype=pl.String)
    return series if missing is None else pl.select(pl.when(~pl.Series(missing)).then(series)).to_series()
