"""Small log files for reader tests, in every format and compression.

A TSV has quotes in its header, so that its cells are quoted, too.
"""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

Event = tuple[str, str, int]

TEXT_KINDS = [kind + wrapping for kind in (".csv", ".tsv", ".jsonl") for wrapping in ("", ".gz", ".zst")]
KINDS = [*TEXT_KINDS, ".parquet"]
HEADER = ("user_id", "item_id", "timestamp")


def compress(data: bytes, name: str) -> bytes:
    """Compress `data` as the suffix of `name` says."""
    if name.endswith(".gz"):
        return gzip.compress(data, mtime=0)  # identical in every process: part of a test id
    if name.endswith(".zst"):  # one handwritten raw block: Python has no zstd before 3.14
        size = len(data)
        assert size < 1 << 17
        return b"\x28\xb5\x2f\xfd\xa0" + size.to_bytes(4, "little") + (1 | size << 3).to_bytes(3, "little") + data
    return data


def format_log(events: Sequence[Event], name: str, header: Sequence[str] = HEADER) -> bytes:
    if ".jsonl" in name:
        return b"".join(
            json.dumps(dict(zip(header, event, strict=True)), ensure_ascii=False).encode() + b"\n" for event in events
        )
    out = io.StringIO()
    write_rows(out, name, [header, *events])
    return out.getvalue().encode()


def write_rows(out: io.StringIO, name: str, rows: Sequence[Sequence[object]]) -> None:
    """Write rows of a CSV or, with all cells quoted, of a TSV."""
    if ".tsv" in name:
        csv.writer(out, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    else:
        csv.writer(out, lineterminator="\n").writerows(rows)


def write_log(path: Path, events: Sequence[Event], header: Sequence[str] = HEADER) -> Path:
    if path.suffix == ".parquet":
        pl.DataFrame(events, schema=list(header), orient="row").write_parquet(path)
    else:
        path.write_bytes(compress(format_log(events, path.name, header), path.name))
    return path
