"""`nextup bench score` from the command line."""

import json

import pytest

from app.commands.main import main
from models.scorers.ann.ivf import has_faiss


def test_every_scorer_of_a_form_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--items", "500,4000", "--batches", "1,3", "--dim", "16", "--rounds", "2"]
    assert main(["bench", "score", *sizes, "--approximate"]) == 0
    out = capsys.readouterr().out.splitlines()
    rows = json.loads(out[-1])["rows"]
    assert len(out) == 2 + len(rows)
    lines = {(row["form"], row["scorer"], row["items"], row["batch"]) for row in rows}
    exact = {("full", "plain"), ("full", "blocked"), ("codes", "codes"), ("adaptive", "tree"), ("adaptive", "plain")}
    assert lines >= {(*names, items, batch) for names in exact for items in (500, 4000) for batch in (1, 3)}
    assert all(row["ms"] >= row["least_ms"] > 0 for row in rows)
    by_form = {row["form"]: row["weights_bytes"] for row in rows if row["items"] == 4000}
    assert by_form["full"] == 4001 * 16 * 4
    assert by_form["codes"] == 4001 * 6 + 8 * 64 * 2 * 4
    assert by_form["adaptive"] != by_form["codes"], "bytes of the head, which does not read the embedding"
    recalls = {row["scorer"]: row["recall"] for row in rows}
    assert recalls.pop("ivf", 1.0) >= 0.99
    assert recalls.pop("native lists", 1.0) >= 0.99
    assert set(recalls.values()) == {1.0}
    assert has_faiss() == any(row["scorer"] == "ivf" for row in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--items", "none"], "--items takes values separated by commas, and each must be a whole number (got 'none')"),
        (["--batches", "0"], "--batches takes values separated by commas, and each must be at least 1 (got 0)"),
        (
            ["--forms", "full,magic"],
            "--forms takes values separated by commas, and each must be one of full, codes, byte-codes, adaptive "
            "(got 'magic')",
        ),
        (["--rounds", "0"], "--rounds must be at least 1 (got 0)"),
    ],
)
def test_invalid_option_error_states_option_and_value(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "score", *options]) == 1
    assert message in capsys.readouterr().err
