"""Sampled users and request bodies of a load profile."""

import json

import numpy as np

from app.bench.load.requests import build_read_bodies, build_write_bodies, sample_by_weight
from models.benchmarks.synthetic_artifact import generate_events, make_log_config, make_synthetic_catalogue


def test_events_use_catalogue_items_and_sample_active_users_more_often() -> None:
    config = make_log_config(300, users=200)
    events, catalogue = generate_events(config), make_synthetic_catalogue(config)
    assert set(events["item_id"]) <= set(catalogue.item_ids)
    sampled = sample_by_weight(events["user_id"].to_list(), None, 20_000, 0)
    busiest, quietest = (
        events["user_id"].value_counts().sort("count", descending=way)["user_id"][0] for way in (True, False)
    )
    assert sampled.count(busiest) > 3 * sampled.count(quietest)
    assert len(build_read_bodies(sampled, 10)) == 20_000


def test_sampling_is_weighted_and_deterministic() -> None:
    sampled = sample_by_weight(["a", "b", "c"], np.array([0.0, 1.0, 3.0]), 4000, 1)
    assert sampled == sample_by_weight(["a", "b", "c"], np.array([0.0, 1.0, 3.0]), 4000, 1)
    assert sampled.count("a") == 0
    assert 2700 < sampled.count("c") < 3300


def test_bodies_contain_user_item_and_k() -> None:
    assert [json.loads(body) for body in build_read_bodies(["u"], 5)] == [{"user_id": "u", "k": 5}]
    cheap = {"attribute": "price", "lt": 5}
    assert [json.loads(body)["filter"] for body in build_read_bodies(["u", "v"], 5, cheap)] == [cheap, cheap]
    bodies = build_read_bodies(["u"], 5, cheap, {"limit_per": {"brand": 2}})
    assert json.loads(bodies[0]) == {"user_id": "u", "k": 5, "filter": cheap, "limit_per": {"brand": 2}}
    [write] = build_write_bodies(["u"], ["i"])
    assert json.loads(write) == {"events": [{"user_id": "u", "item_id": "i"}]}
