"""Encodings are never guessed so that ids change: they are that of the option, or the file is refused."""

from pathlib import Path

import pytest

from models.data.bad_rows import BadInput
from models.data.interactions import ReadOptions, read_interactions
from models.data.items import read_items
from service_tests.models.data.log_texts import compress


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings_inside_zst_are_refused(tmp_path: Path, encoding: str) -> None:
    """Their bytes would be lost: é and ü would be one user."""
    content = "user_id,item_id,timestamp\né,x,1700000000\nü,y,1700000000\n".encode(encoding)
    path = tmp_path / "a.csv.zst"
    path.write_bytes(compress(content, ".zst"))
    source = "from --encoding or --format"
    reason = rf"a\.csv\.zst: the text of a \.zst file must be UTF-8 \(got .*, {source}\); decompress it first"
    with pytest.raises(BadInput, match=reason):
        read_interactions([path], options=ReadOptions(encoding=encoding))
    with pytest.raises(BadInput, match=reason):
        read_items(path, ReadOptions(encoding=encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_inside_zst_may_be_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv.zst"
    path.write_bytes(compress("user_id,item_id,timestamp\né,x,1700000000\n".encode(encoding), ".zst"))
    assert read_interactions([path], options=ReadOptions(encoding=encoding)).events["user_id"].to_list() == ["é"]
