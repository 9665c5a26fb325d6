import pytest

from models.data.bad_rows import BadInput
from models.data.columns import Columns, parse_columns


def test_each_part_renames_one_column_and_the_others_keep_their_names() -> None:
    assert parse_columns("user=uid,item=movie,time=ts") == Columns("uid", "movie", "ts")
    assert parse_columns(" time = when=x ") == Columns(time="when=x")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not user=NAME"),
        ("user", "'user' is not"),
        ("users=uid", "'users=uid' is not"),
        ("user=a,user=b", "user is given twice"),
        ("user=", "a name is empty"),
        ("user=x,item=x", "one column cannot be two things"),
        ("user=item_id", "one column cannot be two things"),
    ],
)
def test_a_wrong_option_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        parse_columns(text)
