"""The header of every file of a log is checked before the rows of the first one are read."""

import gzip
import io
import socket
import zipfile
from pathlib import Path

import polars as pl
import pytest

from models.data import interactions
from models.data.bad_rows import BadInput
from models.data.content import START_BYTES, read_start
from models.data.formats import find_file
from models.data.interactions import ReadOptions, read_interactions

HEADER = "user_id,item_id,timestamp\n"
ROWS = "u,i,1700000000\nv,j,1700000001\n"


def write_good(path: Path) -> Path:
    path.write_text(HEADER + ROWS)
    return path


def zip_bytes(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def make_parquet(**columns: list[object]) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(columns).write_parquet(stream)
    return stream.getvalue()


WRONG = (HEADER.replace("user_id", "uid") + ROWS).encode()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("b.csv", WRONG, "no column 'user_id'"),
        ("b.csv.gz", gzip.compress(WRONG, mtime=0), "no column 'user_id'"),
        ("b.zip", zip_bytes("b.csv", WRONG), "no column 'user_id'"),
        ("b.csv", WRONG.decode().encode("utf-16"), "no column 'user_id'"),
        ("b.jsonl", b'{"uid": "u", "item_id": "i", "timestamp": 1}\n', "no column 'user_id'"),
        ("b.jsonl", b'[{"user_id": "u"}]', "is a JSON array"),
        ("b.parquet", make_parquet(uid=["u"], item_id=["i"], timestamp=[1]), "no column 'user_id'"),
        ("b.parquet", make_parquet(user_id=[["u"]], item_id=["i"], timestamp=[1]), "ids must be strings or integers"),
        ("b.parquet", b"PAR1 cut", "cannot be read as Parquet"),
        ("b.csv", b"", "the file is empty"),
        ("b.csv.gz", HEADER.encode(), "not .gz data"),
        ("b.csv.gz", gzip.compress(WRONG, mtime=0)[:20], "cut or damaged"),
        ("b.csv", b"\0" * 10, "not text"),
    ],
)
def test_faulty_header_of_a_later_file_is_found_before_any_row_is_read(
    name: str, content: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_good(tmp_path / "a.csv")
    (tmp_path / name).write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(interactions, "read_rows", lambda *_: pytest.fail("rows were read before the header was checked"))
        with pytest.raises(BadInput, match=reason) as caught:
            read_interactions([first, tmp_path / name])
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert "b'" not in str(caught.value), "raw bytes"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("prefix", ["", "sep=,\n"])
def test_sound_later_files_are_read(line_end: str, encoding: str, prefix: str, tmp_path: Path) -> None:
    if line_end == "\r" and prefix:
        pytest.skip("the separator line has another line end")
    first = write_good(tmp_path / "a.csv")
    text = prefix + HEADER + "".join(f"w{n},i,{1_700_000_000 + n}\n" for n in range(30_000))
    (tmp_path / "b.csv").write_bytes(text.replace("\n", line_end).encode(encoding))
    assert (tmp_path / "b.csv").stat().st_size > START_BYTES
    log = read_interactions([first, tmp_path / "b.csv"])
    assert (log.events.height, log.report.bad_rows) == (30_002, 0)


def test_start_of_a_file_ends_with_a_whole_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes((HEADER + "ü,i,1\n" * START_BYTES).encode())
    start = read_start(find_file(tmp_path / "a.csv"))
    assert start is not None
    assert start.endswith("ü,i,1\n".encode())
    (tmp_path / "a.csv").write_bytes(b"x" * 2 * START_BYTES)
    assert read_start(find_file(tmp_path / "a.csv")) is None, "a header of more than the start"


@pytest.mark.parametrize(("scale", "expected"), [(0, ["1", "20"]), (2, ["1", "20"])])
def test_decimal_ids_are_whole_numbers_as_in_every_format(scale: int, expected: list[str], tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [1, 20], "item_id": ["i", "j"], "timestamp": [1_700_000_000, 1_700_000_001]})
    frame.with_columns(pl.col("user_id").cast(pl.Decimal(18, scale))).write_parquet(tmp_path / "a.parquet")
    assert read_interactions([tmp_path / "a.parquet"]).events["user_id"].to_list() == expected


def test_decimal_id_with_a_fraction_is_a_bad_row(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [1.0, 2.5], "item_id": ["i", "j"], "timestamp": [1_700_000_000, 1_700_000_001]})
    frame.with_columns(pl.col("user_id").cast(pl.Decimal(18, 2))).write_parquet(tmp_path / "a.parquet")
    report = read_interactions([tmp_path / "a.parquet"], options=ReadOptions()).report
    assert [str(row.reason) for row in report.examples] == ["user_id '2.50' is not a whole number"]


def test_error_of_the_system_has_no_number_and_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "a.csv"))
    with pytest.raises(BadInput, match=r"a\.csv: cannot be read: No such device or address; check the path and its"):
        read_interactions([tmp_path / "a.csv"])


def test_nested_item_and_subfolders_are_explained(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"event": {"user_id": "u", "item_id": "i"}}\n')
    with pytest.raises(BadInput, match=r"'item_id' is inside 'event' \(user_id, item_id\); .* jq -c '\.event'"):
        read_interactions([tmp_path / "a.jsonl"])
    (tmp_path / "day=1" / "part").mkdir(parents=True)
    with pytest.raises(BadInput, match="its subfolders are not read, name them"):
        read_interactions([tmp_path / "day=1"])
