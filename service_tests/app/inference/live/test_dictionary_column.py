"""Memory of a column whose values are replaced again and again."""

import numpy as np

from app.inference.live.dictionary_column import SPARE_BYTES, DictionaryColumn


def test_replaced_values_are_dropped_by_their_size() -> None:
    column, rows = DictionaryColumn(None), np.arange(5)
    column.extend_to(5)
    for number in range(200):
        values = [(f"{number}-{row}" + "x" * 4000, "all") for row in range(5)]
        column.set(rows, values)
        assert column.nbytes < 2 * SPARE_BYTES, "one round takes 20 kB"
        assert all(column.match_any([value]).tolist() == (rows == row).tolist() for row, value in enumerate(values))
