"""New items with real processes: every worker recommends them within seconds."""

from pathlib import Path

from service_tests.failures.test_live_catalogue import run_scene


def test_every_worker_recommends_new_items_until_they_are_sold_out(tiny_artifact: Path, tmp_path: Path) -> None:
    with run_scene(tmp_path, tiny_artifact, "in_process") as scene:
        scene.put({"item_id": "lamp", "categories": ["low"]}, {"item_id": "vase", "categories": ["low"]})
        scene.wait_for_all([], ["lamp", "vase"], "new items")
        scene.put({"item_id": "lamp", "categories": ["low"], "available": False})
        scene.wait_for_all(["lamp"], ["vase"], "sold-out new item")
