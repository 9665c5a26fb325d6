"""`--format`: the layouts of well-known public logs.

A format is a list of layouts, because most of these logs were published in several forms. The first layout that fits
the first line of a file is used. Layouts without a header differ in separator and number of columns.
"""

from collections.abc import Collection
from dataclasses import dataclass

from models.data.bad_rows import BadInput
from models.data.columns import Columns, format_names

TAB, DOUBLE_COLON = "\t", "::"


@dataclass(frozen=True, slots=True)
class PublicLayout:
    """`width` is the number of columns of a file without a header, None for a file with one.

    `separator` is None for JSON lines and Parquet, where columns have names. `encoding` is None where it is detected.
    """

    columns: Columns
    separator: str | None = ","
    width: int | None = None
    has_order_only: bool = False
    encoding: str | None = None

    def is_layout_of(self, header: list[str], separator: str | None) -> bool:
        if separator != self.separator and not (self.width is None and separator is None):
            return False
        if self.width is not None:
            return len(header) == self.width
        required = self.columns.names[:2] if self.has_order_only else self.columns.names
        return set(required) <= set(header)


RECBOLE = Columns("user_id", "item_id", "timestamp")
RETAILROCKET = Columns("visitorid", "itemid", "timestamp", type="event")

FORMATS: dict[str, tuple[PublicLayout, ...]] = {
    "movielens": (
        PublicLayout(Columns("1", "2", "4", catalogue_item="1", title="2", categories="3"), DOUBLE_COLON, 4),
        PublicLayout(Columns("1", "2", "4"), TAB, 4),
        PublicLayout(Columns("userId", "movieId", "timestamp", title="title", categories="genres")),
    ),
    "retailrocket": (PublicLayout(RETAILROCKET),),
    # Ratings of 2014 begin with the user; those of 2018 (amazon-2018) with the item.
    "amazon": (
        PublicLayout(Columns("1", "2", "4"), ",", 4),
        PublicLayout(Columns("reviewerID", "asin", "unixReviewTime")),
        PublicLayout(Columns("user_id", "parent_asin", "timestamp")),
    ),
    "amazon-2018": (PublicLayout(Columns("2", "1", "4"), ",", 4),),
    "yoochoose": (
        PublicLayout(Columns("1", "3", "2"), ",", 4),
        PublicLayout(Columns("1", "3", "2"), ",", 5),
    ),
    "diginetica": (
        PublicLayout(Columns("sessionId", "itemId", "eventdate", offset="timeframe"), ";"),
        PublicLayout(Columns("session_id", "item_id", "eventdate", offset="timeframe"), ";"),
    ),
    "hm": (PublicLayout(Columns("customer_id", "article_id", "t_dat")),),
    "gowalla": (PublicLayout(Columns("1", "5", "2"), TAB, 5),),
    # The log of a thousand users has artist names in every row, but not all ids.
    "lastfm": (
        PublicLayout(Columns("1", "4", "2"), TAB, 6),
        PublicLayout(Columns("userID", "artistID", "timestamp"), TAB),
    ),
    "recbole": (PublicLayout(RECBOLE, TAB),),
    "bookcrossing": (PublicLayout(Columns("User-ID", "ISBN"), ";", has_order_only=True, encoding="latin-1"),),
    "taobao": (PublicLayout(Columns("1", "2", "5", type="4"), ",", 5),),
    "ga4": (PublicLayout(Columns("user_pseudo_id", "item_id", "event_timestamp", type="event_name")),),
}


def find_layout(name: str, file: str, header: list[str], separator: str | None) -> PublicLayout:
    """Return the layout of a format that fits a file's first row; BadInput if there is none."""
    for layout in list_layouts(name):
        if layout.is_layout_of(header, separator):
            return layout
    raise BadInput(
        f"{file}: not in the format {name}: its first line has {format_names(header)}; leave out --format and use "
        "--columns and --separator"
    )


def list_layouts(name: str) -> tuple[PublicLayout, ...]:
    if name not in FORMATS:
        raise BadInput(f"--format {name!r} is unknown; use one of {', '.join(FORMATS)}")
    return FORMATS[name]


def get_encoding(name: str) -> str | None:
    """Return the encoding of a format's files, which all its layouts share; None if it is detected.

    BadInput for an unknown format.
    """
    return list_layouts(name)[0].encoding


def suggest_format(header: list[str], separator: str | None, time_columns: Collection[int] = ()) -> str | None:
    """The format that a first row fits; None if no format or only a general one does.

    `time_columns` are the numbers of the cells that are times, for a file without a header.
    """
    for name, layouts in FORMATS.items():
        for layout in layouts:
            if layout.columns.names == RECBOLE.names or not layout.is_layout_of(header, separator):
                continue
            user, item, time = layout.columns.names
            if layout.width is None or {int(user), int(item), int(time)} & set(time_columns) == {int(time)}:
                return name
    return None
