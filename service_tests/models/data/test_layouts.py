"""Logs in the layouts of public data sets and everyday exports are read in full, or refused with a way to read them."""

import shutil
import zipfile
from pathlib import Path

import polars as pl
import pytest

from models.data.bad_rows import BadInput
from models.data.columns import Columns, parse_columns
from models.data.interactions import ReadOptions, read_interactions

NUMBERS = Columns("1", "2", "4")
EVENTS = [("a", "x", 1_700_000_000_000), ("a", "y", 1_700_000_060_000), ("b", "x", 1_700_000_120_000)]


def read(path: Path, text: str | bytes, options: ReadOptions | None = None) -> list[tuple[object, ...]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    log = read_interactions([path], options=options)
    assert log.report.bad_rows == 0, log.report.examples
    return log.events.rows()


def format_rows(separator: str, *, header: str = "user_id{0}item_id{0}timestamp") -> str:
    rows = [separator.join((user, item, str(time // 1000))) for user, item, time in EVENTS]
    return "\n".join([header.format(separator), *rows]) + "\n"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_is_found_by_the_header(tmp_path: Path, name: str, separator: str) -> None:
    assert read(tmp_path / name, format_rows(separator)) == EVENTS


@pytest.mark.parametrize(("separator", "option"), [("::", "::"), ("\t", "tab"), (" ", "space"), ("~", "~")])
def test_separator_can_be_given(tmp_path: Path, separator: str, option: str) -> None:
    assert read(tmp_path / "a.csv", format_rows(separator), ReadOptions(separator=option)) == EVENTS


@pytest.mark.parametrize(
    "header", ["user_id, item_id, timestamp", " user_id ,item_id ,timestamp", 'user_id, "item_id", timestamp']
)
def test_blanks_around_cells_are_not_part_of_ids(tmp_path: Path, header: str) -> None:
    rows = "".join(f"{user}, {item} , {time // 1000}\n" for user, item, time in EVENTS)
    assert read(tmp_path / "a.csv", f"{header}\n{rows}") == EVENTS


@pytest.mark.parametrize(
    "text", ["user=user, id,item=the item,time=at;time", 'user="user, id",item="the item",time=at;time']
)
def test_odd_column_names_can_be_named(tmp_path: Path, text: str) -> None:
    csv = '"user, id",the item,at;time\n' + format_rows(",").split("\n", 1)[1]
    assert read(tmp_path / "a.csv", csv, ReadOptions(parse_columns(text))) == EVENTS


def test_column_names_match_in_any_case(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", format_rows(",", header="USER_ID{0}Item_Id{0}TimeStamp")) == EVENTS


@pytest.mark.parametrize("separator", ["::", "\t", ",", ";", " "])
def test_columns_by_number_read_a_file_without_a_header(tmp_path: Path, separator: str) -> None:
    rows = "".join(separator.join((user, item, "5", str(time // 1000))) + "\n" for user, item, time in EVENTS)
    assert read(tmp_path / "a.dat", rows, ReadOptions(NUMBERS)) == EVENTS
    with_header = separator.join(("u", "i", "r", "t")) + "\n" + rows
    assert read(tmp_path / "b.dat", with_header, ReadOptions(NUMBERS)) == EVENTS, "a row without a time is a header"


def test_file_without_a_header_is_refused_with_the_numbers_that_read_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("u,i,5,1700000000\n")
    with pytest.raises(BadInput, match="numbers, such as --columns user=1,item=2,time=4, or --format amazon"):
        read_interactions([tmp_path / "a.csv"])


PUBLIC = {
    "movielens": ("ratings.dat", "a::x::5::1700000000\n"),
    "movielens of 100,000": ("u.data", "a\tx\t5\t1700000000\n"),
    "movielens with a header": ("ratings.csv", "userId,movieId,rating,timestamp\na,x,5.0,1700000000\n"),
    "retailrocket": ("e.csv", "timestamp,visitorid,event,itemid,transactionid\n1700000000000,a,view,x,\n"),
    "amazon": ("r.csv", "a,x,5.0,1700000000\n"),
    "amazon reviews": ("r.jsonl", '{"reviewerID": "a", "asin": "x", "unixReviewTime": 1700000000}\n'),
    "amazon-2018": ("r.csv", "x,a,5.0,1700000000\n"),
    "yoochoose": ("clicks.dat", "a,2023-11-14T22:13:20.000Z,x,0\n"),
    "yoochoose of purchases": ("buys.dat", "a,2023-11-14T22:13:20.000Z,x,12,1\n"),
    "diginetica": ("v.csv", "sessionId;userId;itemId;timeframe;eventdate\na;NA;x;80000000;2023-11-14\n"),
    "hm": ("t.csv", "t_dat,customer_id,article_id,price,sales_channel_id\n2023-11-14,a,x,0.1,2\n"),
    "gowalla": ("c.txt", "a\t2023-11-14T22:13:20Z\t30.2\t-97.7\tx\n"),
    "lastfm": ("l.tsv", 'a\t2023-11-14T22:13:20Z\t\tx\t\t"Heroes\n'),
    "recbole": ("m.inter", "user_id:token\titem_id:token\ttimestamp:float\na\tx\t1700000000.0\n"),
    "taobao": ("b.csv", "a,x,7,pv,1700000000\n"),
    "ga4": ("g.csv", "user_pseudo_id,event_name,event_timestamp,item_id\na,view_item,1700000000000000,x\n"),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_formats_are_read(tmp_path: Path, name: str) -> None:
    file, text = PUBLIC[name]
    ((user, item, time, *_),) = read(tmp_path / file, text, ReadOptions(format=name.split(" ")[0]))
    assert (user, item) == ("a", "x")
    assert time == {"diginetica": 1_700_000_000_000, "hm": 1_699_920_000_000}.get(name, 1_700_000_000_000)


def test_event_types_of_public_formats_are_kept(tmp_path: Path) -> None:
    text = PUBLIC["retailrocket"][1]
    assert read(tmp_path / "e.csv", text, ReadOptions(format="retailrocket"))[0][3] == "view"


def test_format_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\nu,i,1\n")
    with pytest.raises(BadInput, match=r"a\.csv: not in the format gowalla: its first line has 3 cells"):
        read_interactions([tmp_path / "a.csv"], options=ReadOptions(format="gowalla"))
    with pytest.raises(BadInput, match="--format 'netflix' is unknown; use one of movielens"):
        ReadOptions(format="netflix")


def test_log_without_times_is_refused_and_read_in_file_order_on_request(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(
        '"User-ID";"ISBN";"Title"\n"b";"00X";"é"\n"a";"01X";""\n"b";"02X";""\n"b";"00X";""\n'.encode("latin-1")
    )
    with pytest.raises(
        BadInput,
        match=r"no column has a usual name of times: `nextup inspect` finds it by its values, to be named with time=…; "
        r"if there is none and rows are in the order of events, add --order file$",
    ):
        read_interactions([path])
    log = read_interactions([path], options=ReadOptions(Columns("User-ID", "ISBN"), file_order=True))
    assert log.events["item_id"].to_list() == ["00X", "01X", "02X", "00X"], "a later row is another event"
    assert log.events["timestamp"].is_sorted()
    other = Path(shutil.copy(path, tmp_path / "other.csv"))
    twice = read_interactions([path, other], options=ReadOptions(format="bookcrossing"))
    assert twice.events["timestamp"].n_unique() == twice.events.height


def test_format_gives_the_encoding_unless_an_option_does(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes('"User-ID";"ISBN"\n"a";"é"\n'.encode("latin-1"))
    log = read_interactions([path], options=ReadOptions(format="bookcrossing"))
    assert log.events["item_id"].to_list() == ["é"]
    path.write_text('"User-ID";"ISBN"\n"a";"é"\n')
    log = read_interactions([path], options=ReadOptions(format="bookcrossing", encoding="utf-8"))
    assert log.events["item_id"].to_list() == ["é"]


def test_nested_events_are_refused_with_their_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"session": 1, "clicks": [{"aid": 3, "ts": 1700000000000}]}\n')
    with pytest.raises(BadInput, match=r"'clicks' has nested events \(aid, ts\); write one event per line.*session"):
        read_interactions([tmp_path / "a.jsonl"])


@pytest.mark.parametrize("quotes", ['"Heroes', '12"', '"Weird Al" 12"', '""', 'a"b"c'])
def test_quotes_in_a_tsv_are_characters(tmp_path: Path, quotes: str) -> None:
    rows = "".join(
        f"{user}\t{quotes if n != 1 else 'plain'}\t{item}\t{time // 1000}\n"
        for n, (user, item, time) in enumerate(EVENTS)
    )
    assert read(tmp_path / "a.tsv", f"user_id\ttitle\titem_id\ttimestamp\n{rows}") == EVENTS


def test_stray_quote_in_a_csv_costs_only_its_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('user_id,title,item_id,timestamp\na,"Heroes,x,1\nb,plain,y,2\nc,12",z,3\n')
    log = read_interactions([tmp_path / "a.csv"])
    assert log.events["user_id"].to_list() == ["b", "c"]
    assert [str(row).split("a.csv:")[1] for row in log.report.examples] == ["2: quotes do not match"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"])
def test_encodings_are_detected_by_their_mark_or_given(tmp_path: Path, encoding: str) -> None:
    text = "user_id,item_id,timestamp\né,ü,1700000000\n"
    options = None if encoding in ("utf-8-sig", "utf-16") else ReadOptions(encoding=encoding)
    assert read(tmp_path / "a.csv", text.encode(encoding), options) == [("é", "ü", 1_700_000_000_000)]


def test_bytes_of_another_encoding_are_bad_rows_that_name_the_option(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("user_id,item_id,timestamp\né,x,1\nb,x,1\n".encode("latin-1"))
    (row,) = read_interactions([tmp_path / "a.csv"]).report.examples
    assert row.reason == "user_id is not valid UTF-8; if the file has another encoding, pass --encoding"
    with pytest.raises(BadInput, match="--encoding 'klingon' is unknown"):
        ReadOptions(encoding="klingon")


def test_binary_header_is_never_part_of_a_message(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\x1b[31m\x07,\x9f\x01," + b"x" * 500 + b"\n1,2,3\n")
    with pytest.raises(BadInput) as error:
        read_interactions([tmp_path / "a.csv"])
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_zip_with_one_data_file_is_read_and_others_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("__MACOSX/._log.csv", b"?")
        archive.writestr("folder/log.csv", format_rows(","))
        archive.writestr("README", "read me")
    assert read_interactions([tmp_path / "one.zip"]).events.rows() == EVENTS
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("users.dat", "1")
        archive.writestr("ratings.dat", "1")
    with pytest.raises(
        BadInput, match=r"two\.zip: the archive has 2 data files \(users\.dat, ratings\.dat\); unpack it"
    ):
        read_interactions([tmp_path / "two.zip"])


@pytest.mark.parametrize("line", ["sep=;\r\n", "\ufeffsep=;\n", '"sep=;"\n'])
def test_line_of_a_spreadsheet_about_its_separator_is_skipped(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.csv").write_text(line + format_rows(";") + "c;;1\n")
    log = read_interactions([tmp_path / "a.csv"])
    assert log.events.rows() == EVENTS
    assert [row.line for row in log.report.examples] == [6]


def test_old_line_ends_are_read(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", format_rows(",").replace("\n", "\r")) == EVENTS


def test_float_ids_are_whole_numbers_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\n26.0,5.0,1.0\n,5.0,1.0\n1.5,05.0,1.0\n")
    (tmp_path / "a.jsonl").write_text(
        '{"user_id": 26.0, "item_id": 5, "timestamp": 1}\n{"user_id": null, "item_id": 5.0, "timestamp": 1}\n'
    )
    ids = pl.Series([26.0, None, float("nan"), 1.5])
    pl.DataFrame({"user_id": ids, "item_id": [5.0] * 4, "timestamp": [1] * 4}).write_parquet(tmp_path / "a.parquet")
    csv, json, parquet = (read_interactions([tmp_path / f"a.{kind}"]) for kind in ("csv", "jsonl", "parquet"))
    assert csv.events.rows() == [("26", "5", 1000), ("1.5", "05", 1000)], "text that is not a whole number is kept"
    assert json.events.rows() == parquet.events.rows() == [("26", "5", 1000)]
    assert [row.reason for row in csv.report.examples] == ["no user_id"]
    assert [row.reason for row in json.report.examples] == ["no user_id"]
    assert [row.reason for row in parquet.report.examples] == [
        "no user_id",
        "no user_id",
        "user_id '1.5' is not a whole number",
    ]


def test_text_ids_in_typed_formats_are_not_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"user_id": "1.0", "item_id": "2.0", "timestamp": 1}\n')
    pl.DataFrame({"user_id": ["1.0"], "item_id": ["2.0"], "timestamp": [1]}).write_parquet(tmp_path / "a.parquet")
    for kind in ("jsonl", "parquet"):
        assert read_interactions([tmp_path / f"a.{kind}"]).events.rows() == [("1.0", "2.0", 1000)]


def test_times_are_understood_alike_and_conventions_stated(tmp_path: Path) -> None:
    cases = {
        "1700000000": (),
        "1700000000000000": ("times of 15 to 17 digits are read as microseconds",),
        "2023-11-14 22:13:20": ("times without an offset are read as UTC (--timezone sets another zone)",),
        "2023-11-14T23:13:20+01:00": (),
    }
    for text, notes in cases.items():
        (tmp_path / "a.csv").write_text(f"user_id,item_id,timestamp\nu,i,{text}\n")
        log = read_interactions([tmp_path / "a.csv"])
        assert log.events.rows() == [("u", "i", 1_700_000_000_000)]
        assert log.report.notes == notes


@pytest.mark.parametrize("text", ["20231114", "202311142213", "20231114221320", "20231114221320123"])
def test_digits_of_a_date_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(f"user_id,item_id,timestamp\nu,i,{text}\nu,j,{text}\n")
    with pytest.raises(BadInput, match=f"{text}.* the digits of a date, not a Unix time; write it as 2023-11-14"):
        read_interactions([tmp_path / "a.csv"])


def test_time_in_the_future_is_a_bad_row(tmp_path: Path) -> None:
    now_ms = 1_700_000_000_000
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\nu,i,1700086400\nu,j,1700086401\nu,k,20231114221320\n")
    log = read_interactions([tmp_path / "a.csv"], now_ms=now_ms)
    assert log.events["item_id"].to_list() == ["i"]
    reasons = [row.reason for row in log.report.examples]
    assert reasons[0] == "timestamp '1700086401' is more than a day in the future"
    assert "digits of a date" in reasons[1]
