"""`nextup evaluate`: notes on what the figures leave out are those of the ranking that was computed."""

from pathlib import Path

import pytest

from app.commands.main import main


@pytest.mark.parametrize(("options", "is_noted"), [([], True), (["--keep-seen"], False), (["--sampled", "5"], False)])
def test_repeats_are_noted_where_seen_items_are_left_out(
    options: list[str], is_noted: bool, tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ranking against random negatives has the target of every user, also a repeated one."""
    rows = [f"u{user},{item},{1_700_000_000 + step}" for user in range(3) for step, item in enumerate("1213")]
    rows = [row.replace(",", ",i", 1) for row in [*rows, "u0,1,1700000009"]]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    words = ["evaluate", str(tiny_artifact), str(tmp_path / "log.csv"), "--threads", "1", "--device", "cpu", *options]
    assert main(words) == 0
    assert ("1 users repeat an item" in capsys.readouterr().err) is is_noted
