"""`nextup vectors`: the vectors of a file reproduce the model's scores."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.commands.main import main
from app.history_types import MANIFEST_ENTRY
from models.artifact import load_artifact
from models.data.dataset import encode
from models.data.interactions import read_interactions
from models.manifest import MANIFEST
from service_tests.support.artifacts import write_tiny_artifact

LOG = """user_id,item_id,timestamp
ada,i1,1700000000
ada,i7,1700000300
bob,i9,1700000000
bob,gone,1700000900
eve,gone,1700000000
"""


@pytest.mark.parametrize("preset", ["sasrec", "blossom", "lsan"])
def test_inner_products_are_the_scores_of_the_model(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_artifact(tmp_path / "artifact", preset=preset)
    log, out = tmp_path / "log.csv", tmp_path / "vectors.parquet"
    log.write_text(LOG)
    assert main(["vectors", str(folder), str(log), "--out", str(out)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["items"], result["users"]) == (60, 2), "eve has no item of the catalogue"
    table = pl.read_parquet(out)
    items, users = (table.filter(kind=kind) for kind in ("item", "user"))
    assert items["id"].to_list() == [f"i{number}" for number in range(1, 61)]
    assert users["id"].to_list() == ["ada", "bob"]

    artifact = load_artifact(folder, device="cpu")
    dataset = encode(read_interactions([log]).events, artifact.catalogue)
    times = [dataset.history_times(user) for user in range(2)]
    top = artifact.predictor.top_k([dataset.history(user) for user in range(2)], 60, times=times)
    products = users["vector"].to_numpy() @ items["vector"].to_numpy().T
    for row, (indices, scores) in enumerate(zip(top.indices, top.scores, strict=True)):
        np.testing.assert_allclose(products[row][indices - 1], scores, rtol=1e-3, atol=1e-4)


def test_user_vectors_are_those_of_the_histories_of_a_service(tmp_path: Path) -> None:
    """Unknown items and types that entered no history of the training change nothing."""
    folder = write_tiny_artifact(tmp_path / "artifact", preset="sasrec")
    manifest = json.loads((folder / MANIFEST).read_text())
    types = {"history": [], "entered": ["view"], "weights": None, "target": None}
    (folder / MANIFEST).write_text(json.dumps(manifest | {MANIFEST_ENTRY: types}))
    rows = [("i1", "view"), ("i7", "view"), ("i3", "impression"), ("gone", "view"), ("i9", "view"), ("lost", "view")]
    served = [row for row in rows if row[0] in ("i1", "i7", "i9")]
    tables = []
    for name, selected in (("all", rows), ("served", served)):
        lines = [f"ada,{item},{1_700_000_000 + rows.index((item, kind))},{kind}" for item, kind in selected]
        (tmp_path / f"{name}.csv").write_text("\n".join(["user_id,item_id,timestamp,type", *lines]) + "\n")
        out = tmp_path / f"{name}.parquet"
        assert main(["vectors", str(folder), str(tmp_path / f"{name}.csv"), "--out", str(out)]) == 0
        tables.append(pl.read_parquet(out).filter(kind="user"))
    assert tables[0].equals(tables[1])


def test_items_alone_need_no_log(tiny_artifact: Path, tmp_path: Path) -> None:
    assert main(["vectors", str(tiny_artifact), "--out", str(tmp_path / "items.parquet")]) == 0
    assert pl.read_parquet(tmp_path / "items.parquet")["kind"].unique().to_list() == ["item"]


def test_model_without_vectors_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_artifact(tmp_path / "artifact", preset="popular")
    assert main(["vectors", str(folder), "--out", str(tmp_path / "items.parquet")]) == 1
    assert "popular are not inner products" in capsys.readouterr().err
    assert not (tmp_path / "items.parquet").exists()
