"""Which controls a compaction may apply for good and drop.

A merge writes `receive` into the target's stream and then `merge` into the source's, and stops anywhere if its process
dies. While only one of the two is known, later rows may still need it, and with it the controls around it.
"""

import polars as pl

SETTLE_MS = 3_600_000
"""A merge that is incomplete for this long stays so: its request has ended, and a repetition has another token."""
CLOCK_MARGIN_MS = 10_000
"""Clocks of the servers of a Cluster may differ by so much."""


def split_settled(controls: pl.DataFrame, now_ms: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split controls into those that may be applied for good and those that stay, which are the latest ones."""
    receives, merges = (controls.filter(pl.col("control") == kind) for kind in ("receive", "merge"))
    incomplete = pl.concat(
        [receives.join(merges, on="token", how="anti"), merges.join(receives, on="token", how="anti")]
    ).filter(pl.col("log_ms") >= now_ms - SETTLE_MS)
    if incomplete.is_empty():
        return controls, controls.clear()
    from_ms = _get_minimum(incomplete) - CLOCK_MARGIN_MS
    while True:
        # A merge that stays needs its `receive` entry, and that all later controls of its target stay.
        staying = controls.filter(pl.col("log_ms") >= from_ms)
        tokens = staying.filter(pl.col("control") == "merge")["token"].unique().to_list()
        matching = receives.filter(pl.col("token").is_in(tokens))
        earlier_ms = min(from_ms, from_ms if matching.is_empty() else _get_minimum(matching))
        if earlier_ms == from_ms:
            return controls.filter(pl.col("log_ms") < from_ms), staying
        from_ms = earlier_ms


def _get_minimum(controls: pl.DataFrame) -> int:
    return int(controls.select(pl.col("log_ms").min()).item())
