"""Times in other texts than ISO 8601 are read by a format of the user, which a failed read suggests."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.commands.main import main
from models.data.bad_rows import BadInput
from models.data.interactions import ReadOptions, read_interactions
from models.data.time_formats import FORMATS, find_time_formats
from models.data.time_values import parse_times

START = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def write_log(path: Path, times: list[str]) -> Path:
    path.write_text("user_id;item_id;timestamp\n" + "".join(f"u;i{n};{time}\n" for n, time in enumerate(times)))
    return path


@settings(max_examples=200, deadline=None)
@given(time_format=st.sampled_from([each for each in FORMATS if "%.f" not in each]), seconds=st.integers(0, 10**9))
def test_times_of_every_suggested_format_are_read_as_written(time_format: str, seconds: int) -> None:
    written = datetime.fromtimestamp(seconds, UTC)
    text = written.strftime(time_format)
    # The standard library reads back what a format without hours or seconds keeps.
    expected = datetime.strptime(text, time_format).replace(tzinfo=UTC)
    parsed = parse_times(pl.Series([text, "tomorrow"]), "UTC", time_format).milliseconds
    assert parsed.to_list() == [int(expected.timestamp()) * 1000, None]
    assert any(
        parse_times(pl.Series([text]), "UTC", each).milliseconds.to_list() == parsed.to_list()[:1]
        for each in find_time_formats(pl.Series([text]))
    )


@pytest.mark.parametrize(
    ("times", "formats"),
    [
        (["28.04.2024 20:02", "1.5.2024 9:00"], ["%d.%m.%Y %H:%M"]),
        (["04/28/2024", "04/05/2024"], ["%m/%d/%Y"]),
        (["04/03/2024", "04/05/2024"], ["%d/%m/%Y", "%m/%d/%Y"]),
        (["14 November 2023"], ["%d %B %Y"]),
        (["1 May 2023"], ["%d %b %Y"]),
        (["14/Nov/2023:22:13:20 +0100"], ["%d/%b/%Y:%H:%M:%S %z"]),
        (["2023-W46-2"], []),
        (["28.04.2024", "later"], []),
        (["31.02.2024", "", *(f"{day}.04.2024" for day in range(1, 31))], ["%d.%m.%Y"]),
        ([" ", *(f"04/{day}/2024" for day in range(1, 31)), "04/31/2024"], ["%m/%d/%Y"]),
        ([""], []),
        ([], []),
    ],
)
def test_formats_are_those_that_fit_nearly_all_times(times: list[str], formats: list[str]) -> None:
    assert list(find_time_formats(pl.Series(times, dtype=pl.String))) == formats


def test_error_suggests_the_format_and_the_format_reads_the_log(tmp_path: Path) -> None:
    times = [(START + timedelta(days=n)).strftime("%d.%m.%Y %H:%M") for n in range(20)]
    log = write_log(tmp_path / "log.csv", times)
    with pytest.raises(BadInput, match=r"; read them with --time-format '%d\.%m\.%Y %H:%M'$"):
        read_interactions([log])
    read = read_interactions([log], options=ReadOptions(time_format="%d.%m.%Y %H:%M", timezone="Europe/Berlin"))
    assert read.events["timestamp"][0] == 1000 * 1_700_000_000 - 20_000 - 3_600_000
    assert "times are read by the format '%d.%m.%Y %H:%M'" in read.report.notes


def test_row_in_another_format_is_bad(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", ["14.11.2023", "2023-11-14", "1700000000"])
    report = read_interactions([log], options=ReadOptions(time_format="%d.%m.%Y")).report
    assert report.bad_rows == 2
    assert report.examples[0].reason == "timestamp '2023-11-14' is not in the format '%d.%m.%Y'"


@pytest.mark.parametrize("text", ["", "%H:%M", "Y-m-d", "%Q"])
def test_format_without_a_year_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"--time-format .* write a format such as"):
        ReadOptions(time_format=text)


def test_inspect_applies_the_only_format_and_asks_about_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("customer,sku,bought_at\nc,s,28.04.2024 20:02\nc,t,29.04.2024 20:02\n")
    assert main(["inspect", str(tmp_path / "a.csv"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    words = "--columns user=customer,item=sku,time=bought_at --time-format '%d.%m.%Y %H:%M'"
    assert result["reading_options"] == words
    assert words in result["train"]
    (tmp_path / "b.csv").write_text("customer,sku,bought_at\nc,s,03/04/2024\nc,t,04/05/2024\n")
    assert main(["inspect", str(tmp_path / "b.csv")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--time-format '%d/%m/%Y' or '%m/%d/%Y' in addition to --columns user=customer,item=sku" in line
