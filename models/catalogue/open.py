"""A catalogue from the files of an artifact: the mapped arrays if it has them, else the table.

    catalogue.parquet        item_id, count, title, categories; row = index − 1
    catalogue.safetensors    the arrays of `catalogue.py`; made from the table, and absent from older artifacts

Needs no torch: a process without a model may know the items. It checks no digest; who loads the artifact does.
"""

from collections.abc import Collection
from pathlib import Path

from models.catalogue.arrays import map_arrays
from models.catalogue.catalogue import Catalogue

TABLE, ARRAYS = "catalogue.parquet", "catalogue.safetensors"


def open_catalogue(folder: Path, files: Collection[str]) -> Catalogue:
    """`files` of the artifact's manifest. OSError, KeyError, ValueError or polars' own for what is no catalogue."""
    if ARRAYS in files:
        return map_arrays(folder / ARRAYS)
    from models.catalogue.parquet import read_table  # polars, 15 MB that a service on newer artifacts does without

    return read_table(folder / TABLE)
