"""`nextup extend`: new items are placed by co-occurrence or category; all other scores stay the same."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from app.commands.main import main
from models.artifact import Artifact, load_artifact
from models.transitions.mixing import TransitionMixer

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


def test_new_item_is_similar_to_cooccurring_items_and_other_ranks_stay(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newer log replaces every other i5 by the new item, so both have the same neighbours."""
    newer = [(u, "new" if i == "i5" and int(u[1:]) % 2 else i, at) for u, i, at in ROWS]
    log, out = write_log(tmp_path / "newer.csv", newer), tmp_path / "extended"
    assert main(["extend", str(trained), str(log), "--out", str(out)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["by_events"], result["by_categories"], result["left_out"]) == (1, 0, 0)
    before, after = load_artifact(trained, device="cpu"), load_artifact(out, device="cpu")
    assert after.manifest["verdict"] == before.manifest["verdict"], "the verdict is about the trained items"
    assert after.catalogue.item_ids == [*before.catalogue.item_ids, "new"]
    new = after.catalogue.num_items
    similar = [after.catalogue.item_id(index) for index in after.predictor.find_similar(np.array([new]), 4).indices[0]]
    assert set(similar) <= {f"i{n}" for n in range(2, 9)}, "only items near i5 in the walk"
    history = np.array([before.catalogue.find_index(f"i{n}") for n in (1, 2, 3)], dtype=np.int64)
    old_ranks, new_ranks = (artifact.predictor.top_k([history], 40).indices[0].tolist() for artifact in (before, after))
    assert [index for index in new_ranks if index != new] == old_ranks


def test_item_without_events_is_placed_by_category_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, items = write_log(tmp_path / "log.csv", ROWS), tmp_path / "items.csv"
    rows = [f"i{n},{'even' if n % 2 == 0 else 'odd'}" for n in range(30)]
    items.write_text("\n".join(["item_id,categories", *rows]) + "\n")
    model, out = tmp_path / "model", tmp_path / "extended"
    assert main(["train", str(log), "--items", str(items), "--out", str(model), *SMALL]) == 0
    items.write_text("\n".join(["item_id,categories", *rows, "fresh,even", "lost,nowhere"]) + "\n")
    assert main(["extend", str(model), str(log), "--items", str(items), "--out", str(out)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["by_events"], result["by_categories"], result["left_out"]) == (0, 1, 1)
    catalogue = load_artifact(out, device="cpu").catalogue
    assert "fresh" in catalogue
    assert "lost" not in catalogue
    assert catalogue.get_categories(catalogue.num_items) == ("even",)


def test_item_without_events_is_placed_by_its_attributes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Items 0 to 14 are of one brand and cheap; users stay among them or among the others."""
    rows = [
        (f"u{user}", f"i{(user % 2) * 15 + (user + step) % 15}", 60 * step) for user in range(60) for step in range(14)
    ]
    log, items = write_log(tmp_path / "log.csv", rows), tmp_path / "items.csv"
    described = [f"i{n},{'Lumen' if n < 15 else 'Argent'},{n + 0.5},n{n}" for n in range(30)]
    items.write_text("\n".join(["item_id,brand,price,sku", *described]) + "\n")
    model, out = tmp_path / "model", tmp_path / "extended"
    assert main(["train", str(log), "--items", str(items), "--out", str(model), "--preset", "sasrec", *SMALL]) == 0
    assert "attributes: brand (2 values), price (8 bins); without values that some of the items share: sku" in (
        capsys.readouterr().err
    )
    new = ["dear,Argent,", "cheap,,1", "other,Third,", "plain,,"]
    items.write_text("\n".join(["item_id,brand,price", *new]) + "\n")
    assert main(["extend", str(model), str(log), "--items", str(items), "--out", str(out)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["by_events"], result["by_categories"], result["left_out"]) == (0, 2, 2)
    artifact = load_artifact(out, device="cpu")
    for item_id, expected in (("dear", range(15, 30)), ("cheap", range(15))):
        index = artifact.catalogue.find_index(item_id)
        similar = artifact.predictor.find_similar(np.array([index]), 4).indices[0]
        assert {artifact.catalogue.item_id(each) for each in similar} <= {f"i{n}" for n in expected}
    assert list(artifact.catalogue.attributes.index)[-2:] == [("brand=Argent",), ("price:..3.5",)]


def test_log_of_new_items_alone_extends_the_artifact_in_place(tmp_path: Path) -> None:
    """A nightly loop may pass the events of a launch only; golden outputs are then of the training's histories."""
    log, items, model = write_log(tmp_path / "log.csv", ROWS), tmp_path / "items.csv", tmp_path / "model"
    items.write_text("\n".join(["item_id,categories", *(f"i{n},shoes" for n in range(30)), "fresh,shoes"]) + "\n")
    train = ["train", str(log), "--items", str(items), "--out", str(model), "--preset", "sasrec", *SMALL]
    assert main([*train, "--epochs", "1"]) == 0
    before = load_artifact(model, device="cpu").golden_histories
    launch = write_log(tmp_path / "launch.csv", [("u1", "fresh", 1_750_000_000), ("u2", "fresh", 1_750_000_060)])
    assert main(["extend", str(model), str(launch), "--items", str(items), "--out", str(model), "--overwrite"]) == 0
    after = load_artifact(model, device="cpu")
    assert "fresh" in after.catalogue
    assert after.golden_histories == before


def test_recount_adds_followers_of_new_events_and_keeps_everything_else(tmp_path: Path) -> None:
    """In the newer log i17 follows every i3 of 40 users, which it never did before; an unseen item stays out."""
    log, model, out = write_log(tmp_path / "log.csv", ROWS), tmp_path / "model", tmp_path / "recounted"
    assert main(["train", str(log), "--out", str(model), *SMALL]) == 0
    later = [(f"v{user}", item, 1_750_000_000 + at) for user in range(40) for at, item in enumerate(("i3", "i17"))]
    newer = write_log(tmp_path / "newer.csv", [*ROWS, *later, ("v0", "unseen", 1_760_000_000)])
    assert main(["extend", str(model), str(newer), "--recount", "--no-new-items", "--out", str(out)]) == 0
    before, after = load_artifact(model, device="cpu"), load_artifact(out, device="cpu")
    assert after.catalogue.item_ids == before.catalogue.item_ids
    old_weights, new_weights = (artifact.predictor.model.state_dict() for artifact in (before, after))
    assert {name for name in old_weights if not torch.equal(old_weights[name], new_weights[name])} == {
        "transitions.rows"
    }
    i3, i17 = (before.catalogue.find_index(item) for item in ("i3", "i17"))
    assert i17 not in list_followers(before, i3)
    assert list_followers(after, i3)[0] == i17
    score_before, score_after = (
        artifact.predictor.top_k([np.array([i3])], 30).scores[0][
            artifact.predictor.top_k([np.array([i3])], 30).indices[0].tolist().index(i17)
        ]
        for artifact in (before, after)
    )
    assert score_after > score_before


def test_recount_gives_new_items_followers(tmp_path: Path) -> None:
    log, model, out = write_log(tmp_path / "log.csv", ROWS), tmp_path / "model", tmp_path / "extended"
    assert main(["train", str(log), "--out", str(model), *SMALL]) == 0
    newer = write_log(tmp_path / "newer.csv", [*ROWS, ("v", "new", 1_750_000_000), ("v", "i3", 1_750_000_001)])
    assert main(["extend", str(model), str(newer), "--recount", "--out", str(out)]) == 0
    extended = load_artifact(out, device="cpu")
    assert list_followers(extended, extended.catalogue.num_items) == [extended.catalogue.find_index("i3")]


def list_followers(artifact: Artifact, item: int | None) -> list[int]:
    """Stored followers of the item, the strongest first."""
    assert artifact.predictor.model.transitions is not None
    hidden = np.zeros((1, artifact.predictor.config.dim), dtype=np.float32)
    followers = TransitionMixer(artifact.predictor.model.transitions).find_followers([np.array([item])], hidden)
    items = followers.items[0, 0, :-1]
    return [int(follower) for follower in items[items > 0]]


def test_recount_without_a_memory_warns_and_writes_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A nightly loop has one line for all presets."""
    log, model, out = write_log(tmp_path / "log.csv", ROWS), tmp_path / "model", tmp_path / "out"
    assert main(["train", str(log), "--out", str(model), "--preset", "popular"]) == 0
    assert main(["extend", str(model), str(log), "--recount", "--no-new-items", "--out", str(out)]) == 0
    output = capsys.readouterr()
    assert "warning: " in output.err
    assert "has no transition memory" in output.err
    assert json.loads(output.out.splitlines()[-1])["recounted"] is False
    before, after = load_artifact(model, device="cpu"), load_artifact(out, device="cpu")
    assert after.catalogue.item_ids == before.catalogue.item_ids
    assert after.predictor.model.state_dict().keys() == before.predictor.model.state_dict().keys()
    assert main(["extend", str(model), str(log), "--no-new-items", "--out", str(tmp_path / "other")]) == 1
    assert "--recount" in capsys.readouterr().err


def test_impossible_extension_reports_the_reason(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log.csv", ROWS)
    assert main(["extend", str(trained), str(log), "--out", str(tmp_path / "out")]) == 1
    assert "already contains every item" in capsys.readouterr().err
    assert main(["extend", str(trained), str(log), "--out", str(trained)]) == 1
    assert "already holds an artifact" in capsys.readouterr().err
    lonely = write_log(tmp_path / "lonely.csv", [*ROWS, ("hermit", "unseen", 1_700_000_000)])
    assert main(["extend", str(trained), str(lonely), "--out", str(tmp_path / "out")]) == 1
    assert "none of 1 new items occurs near known items" in capsys.readouterr().err


def test_model_with_item_rows_in_its_head_cannot_be_extended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, model = write_log(tmp_path / "log.csv", ROWS), tmp_path / "model"
    assert main(["train", str(log), "--out", str(model), "--preset", "cprec", *SMALL, "--epochs", "1"]) == 0
    newer = write_log(tmp_path / "newer.csv", [*ROWS, ("u0", "new", 1_750_000_000)])
    assert main(["extend", str(model), str(newer), "--out", str(tmp_path / "out")]) == 1
    assert "does not support new items; train it again" in capsys.readouterr().err
