"""New items join a trained artifact by the company they keep, and nothing else about it changes."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.commands.main import main
from models.artifact import load_artifact

SMALL = ["--epochs", "15", "--dim", "16", "--max-len", "20", "--batch-cells", "128", "--learning-rate", "0.01"]
ROWS = [
    (f"u{user}", f"i{(user * 3 + step) % 30}", 1_700_000_000 + 60 * step) for user in range(60) for step in range(14)
]


def write_log(path: Path, rows: list[tuple[str, str, int]]) -> Path:
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(path)
    return path


@pytest.fixture(scope="module", params=["blossom", "sasrec"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    log = write_log(folder / "log.csv", ROWS)
    assert main(["train", str(log), "--out", str(folder / "model"), "--preset", request.param, *SMALL]) == 0
    return folder / "model"


def test_a_new_item_stands_with_the_items_it_was_seen_with_and_the_others_stay(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the newer log every other i5 is the new item; its neighbours are those of i5."""
    newer = [(u, "new" if i == "i5" and int(u[1:]) % 2 else i, at) for u, i, at in ROWS]
    log, out = write_log(tmp_path / "newer.csv", newer), tmp_path / "extended"
    assert main(["extend", str(trained), str(log), "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["by_events"], said["by_categories"], said["left_out"]) == (1, 0, 0)
    before, after = load_artifact(trained, device="cpu"), load_artifact(out, device="cpu")
    assert after.catalogue.item_ids == [*before.catalogue.item_ids, "new"]
    new = after.catalogue.num_items
    near = [after.catalogue.item_id(index) for index in after.predictor.find_similar(np.array([new]), 4).indices[0]]
    assert set(near) <= {f"i{n}" for n in range(2, 9)}, "no item from elsewhere on the walk"
    history = np.array([before.catalogue.find_index(f"i{n}") for n in (1, 2, 3)], dtype=np.int64)
    old, now = (one.predictor.top_k([history], 40).indices[0].tolist() for one in (before, after))
    assert [index for index in now if index != new] == old


def test_an_item_without_events_is_placed_by_its_categories_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, items = write_log(tmp_path / "log.csv", ROWS), tmp_path / "items.csv"
    known = [f"i{n},{'even' if n % 2 == 0 else 'odd'}" for n in range(30)]
    items.write_text("\n".join(["item_id,categories", *known]) + "\n")
    model, out = tmp_path / "model", tmp_path / "extended"
    assert main(["train", str(log), "--items", str(items), "--out", str(model), *SMALL]) == 0
    items.write_text("\n".join(["item_id,categories", *known, "fresh,even", "lost,nowhere"]) + "\n")
    assert main(["extend", str(model), str(log), "--items", str(items), "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["by_events"], said["by_categories"], said["left_out"]) == (0, 1, 1)
    after = load_artifact(out, device="cpu").catalogue
    assert "fresh" in after
    assert "lost" not in after
    assert after.get_categories(after.num_items) == ("even",)


def test_what_cannot_be_extended_says_why(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "log.csv", ROWS)
    assert main(["extend", str(trained), str(log), "--out", str(tmp_path / "out")]) == 1
    assert "already contains every item" in capsys.readouterr().err
    assert main(["extend", str(trained), str(log), "--out", str(trained)]) == 1
    assert "already holds an artifact" in capsys.readouterr().err
    lonely = write_log(tmp_path / "lonely.csv", [*ROWS, ("hermit", "unseen", 1_700_000_000)])
    assert main(["extend", str(trained), str(lonely), "--out", str(tmp_path / "out")]) == 1
    assert "none of 1 new items occurs near known items" in capsys.readouterr().err


def test_a_model_with_a_row_per_item_in_its_head_takes_no_new_items(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, model = write_log(tmp_path / "log.csv", ROWS), tmp_path / "model"
    assert main(["train", str(log), "--out", str(model), "--preset", "cprec", *SMALL, "--epochs", "1"]) == 0
    newer = write_log(tmp_path / "newer.csv", [*ROWS, ("u0", "new", 1_800_000_000)])
    assert main(["extend", str(model), str(newer), "--out", str(tmp_path / "out")]) == 1
    assert "does not support new items; train it again" in capsys.readouterr().err
