"""Check the values of rows: ids, texts and times; split them into events and bad rows with reasons."""

from dataclasses import dataclass

import polars as pl

from models.data.bad_rows import BadInput
from models.data.fields import find_id_faults, find_text_faults, has_sound_ids
from models.data.read_options import ReadOptions
from models.data.time_values import DATE_DIGITS, EXPECTED_TIME, ParsedTimes, find_date_digits, parse_times
from models.event_times import MAX_FUTURE_MS, is_date_in_digits

MAX_SHOWN_CHARS = 40
IDS = ("user_id", "item_id")
IDENTITY_NAME = "event_identity"
TEXTS = ("type", "event_id", "recommendation_id", IDENTITY_NAME)
IDENTITY = r"^[0-9a-f]{16}$"
IDENTITY_FAULT = f"{IDENTITY_NAME} is not 16 hexadecimal digits"
FILE_ORDER = "the order of the rows is the order of events, and there are no times"
OFFSETS = "the column {} is added to the time as milliseconds"
_KINDS = {
    r"^(timestamp|user_id|item_id) '.*' is neither a .*$": "$1 is not a time",
    r"'.*' is ": "is ",
    r"; .*$": "",
    r"^\d+ fields, the first line has \d+$": "wrong number of fields",
    r"^malformed JSON: .*": "malformed JSON",
}


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """`events` of the valid rows; `bad_rows` have `line` and `reason`."""

    events: pl.DataFrame
    bad_rows: pl.DataFrame
    notes: tuple[str, ...]

    def list_examples(self, limit: int) -> list[tuple[int, str]]:
        return list(self.bad_rows.head(limit).iter_rows())

    def count_reasons(self) -> dict[str, int]:
        """Count bad rows by kind of fault, without the values in the reasons."""
        kind = pl.col("reason")
        for pattern, text in _KINDS.items():
            kind = kind.str.replace(pattern, text)
        return dict(self.bad_rows.group_by(kind).len().iter_rows())


def check_rows(
    file: str,
    rows: pl.DataFrame,
    options: ReadOptions,
    *,
    first_rank: int,
    now_ms: int,
    is_ascii: bool = False,
) -> CheckedRows:
    """Check the rows of a file; with a log in file order, ranks from `first_rank` are the times.

    `is_ascii` states that all text is ASCII, which saves a check.
    """
    notes: tuple[str, ...] = ()
    if options.file_order:
        ranks = pl.int_range(first_rank, first_rank + rows.height, dtype=pl.Int64, eager=True)
        rows = rows.with_columns(timestamp=ranks)
        times, notes = ranks, (FILE_ORDER,)
    else:
        parsed = _parse_times(file, rows, options)
        times, notes = parsed.milliseconds, parsed.conventions
    texts = [name for name in TEXTS if name in rows.columns]
    rows = rows.with_columns(pl.col(name).replace("", None) for name in texts)
    columns = [*IDS, *texts]
    if _is_sound(rows, times, texts, now_ms, is_ascii=is_ascii):
        return CheckedRows(rows.select(*IDS, times.alias("timestamp"), *texts), _make_bad_rows(rows), notes)
    value = rows["timestamp"].cast(pl.String)
    latest = now_ms + MAX_FUTURE_MS
    time_fault = pl.concat_str(pl.lit("timestamp '"), value.str.slice(0, MAX_SHOWN_CHARS), pl.lit("' is "))
    reason = pl.coalesce(
        "fault",
        *map(find_id_faults, IDS),
        *map(find_text_faults, texts),
        *(
            pl.when(~pl.col(name).str.contains(IDENTITY)).then(pl.lit(IDENTITY_FAULT))
            for name in texts[-1:]
            if name == IDENTITY_NAME
        ),
        pl.when(value.is_null() | (value == "")).then(pl.lit("no timestamp")),
        pl.when(times.is_null()).then(time_fault + pl.lit(_describe_expected_time(options))),
        pl.when((times > latest) & _find_date_digit_rows(value, times, latest)).then(time_fault + pl.lit(DATE_DIGITS)),
        pl.when(times > latest).then(time_fault + pl.lit("more than a day in the future")),
    )
    checked = rows.select(*columns, times.alias("timestamp"), "line", reason=reason)
    is_valid = checked["reason"].is_null()
    events = checked.filter(is_valid).select(*IDS, "timestamp", *texts)
    return CheckedRows(events, _make_bad_rows(checked.filter(~is_valid)), notes)


def _parse_times(file: str, rows: pl.DataFrame, options: ReadOptions) -> ParsedTimes:
    parsed = parse_times(rows["timestamp"], options.timezone, options.time_format)
    if options.time_format is None and (digits := find_date_digits(rows["timestamp"], parsed.milliseconds)) is not None:
        raise BadInput(f"{file}: the times, such as {digits}, are {DATE_DIGITS}")
    if "offset_ms" not in rows.columns:
        return parsed
    offsets = rows["offset_ms"].cast(pl.Float64, strict=False).round().cast(pl.Int64, strict=False)
    name = (options.columns.offset if options.columns is not None else None) or "offset_ms"
    return ParsedTimes(parsed.milliseconds + offsets.fill_null(0), (*parsed.conventions, OFFSETS.format(repr(name))))


def _describe_expected_time(options: ReadOptions) -> str:
    return EXPECTED_TIME if options.time_format is None else f"not in the format {options.time_format!r}"


def _is_sound(rows: pl.DataFrame, times: pl.Series, texts: list[str], now_ms: int, *, is_ascii: bool) -> bool:
    """Whether all rows are certainly valid; cheaper than the reasons."""
    if rows.is_empty() or rows["fault"].null_count() < len(rows) or times.null_count():
        return False
    latest = times.max()
    if (
        not isinstance(latest, int)
        or latest > now_ms + MAX_FUTURE_MS
        or not all(has_sound_ids(rows[name], is_ascii=is_ascii) for name in IDS)
    ):
        return False
    if not texts:
        return True
    if IDENTITY_NAME in texts and not rows[IDENTITY_NAME].drop_nulls().str.contains(IDENTITY).all():
        return False
    return bool(rows.select(pl.all_horizontal(find_text_faults(name).is_null().all() for name in texts)).item())


def _find_date_digit_rows(value: pl.Series, times: pl.Series, latest: int) -> pl.Series:
    """Rows in the future whose number is a date in digits: (n,)."""
    numbers = value.cast(pl.Int64, strict=False).set(times.fill_null(0) <= latest, None)
    distinct = [number for number in numbers.drop_nulls().unique().to_list() if is_date_in_digits(number)]
    return numbers.is_in(distinct).fill_null(False)


def _make_bad_rows(rows: pl.DataFrame) -> pl.DataFrame:
    if "reason" in rows.columns:
        return rows.select("line", "reason")
    return pl.DataFrame(schema={"line": pl.Int64, "reason": pl.String})
