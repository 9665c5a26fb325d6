"""The --columns option."""

import pytest

from models.data.bad_rows import BadInput
from models.data.columns import Columns, parse_columns


def test_option_renames_columns_and_the_remaining_names_are_defaults() -> None:
    assert parse_columns("user=uid,item=movie,time=ts") == Columns("uid", "movie", "ts")
    assert parse_columns(" time = when=x ") == Columns(time="when=x")
    assert parse_columns("type=event,event_id=uuid,title=name,categories=dept,items.item=sku") == Columns(
        type="event", event_id="uuid", title="name", categories="dept", catalogue_item="sku"
    )


@pytest.mark.parametrize("text", ["user=user, id,item=a,b", 'user="user, id",item="a,b"'])
def test_column_names_may_contain_commas(text: str) -> None:
    assert parse_columns(text) == Columns("user, id", "a,b")


def test_quoted_column_name_may_look_like_a_role() -> None:
    assert parse_columns('user="a,item=b"') == Columns("a,item=b")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not ROLE=NAME"),
        ("user", "'user' is not"),
        ("users=uid", "'users=uid' is not"),
        ("user=a,user=b", "user is set twice"),
        ("user=", "has an empty column name"),
        ("user=x,item=x", "uses one column for two roles"),
        ("user=item_id", "uses one column for two roles"),
    ],
)
def test_malformed_option_error_states_the_fault(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        parse_columns(text)
