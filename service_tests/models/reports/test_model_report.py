"""The page of a model: bounded for any log, and without examples that the time does not allow."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.artifact import load_artifact
from models.catalogue.catalogue import Catalogue
from models.catalogue.categories import CategoryIndex
from models.catalogue.string_array import StringArray
from models.data.dataset import Dataset
from models.data.splits import make_cases
from models.evaluation.evaluate import Evaluation, compute_metrics, evaluate
from models.evaluation.metrics import rank_targets
from models.evaluation.quality import compute_quality
from models.reports.log_profile import profile_log
from models.reports.model_report import ModelReport, build_model_page
from models.reports.page import Page, render_page
from models.reports.training_section import MAX_POINTS, make_point, make_training_section, read_curve
from service_tests.support.html_pages import check_self_contained, parse_html

START = 1_700_000_000
PART_SIZES = {"embedding": 1000, "encoder": 500, "head": 0}


def make_dataset(num_users: int, num_items: int, length: int, *, with_categories: bool = False) -> Dataset:
    """Every user has `length` events an hour apart, of items that a generator draws."""
    rng = np.random.default_rng(0)
    categories = CategoryIndex.empty(num_items)
    if with_categories:
        names = StringArray.from_strings(f"category {number}" for number in range(997))
        categories = CategoryIndex(names, (np.arange(num_items) % 997).astype(np.int32), np.arange(1, num_items + 1))
    counts = np.sort(rng.integers(0, 100, num_items))[::-1].astype(np.int64)
    catalogue = Catalogue([f"i{number}" for number in range(num_items)], counts, [None] * num_items, categories)
    return Dataset(
        catalogue,
        [f"u{user}" for user in range(num_users)],
        np.arange(num_users + 1, dtype=np.int64) * length,
        rng.integers(1, num_items + 1, num_users * length),
        (START + 3600 * np.tile(np.arange(length), num_users)).astype(np.uint32),
    )


def make_report(dataset: Dataset) -> ModelReport:
    """The report of random rankings, without a model."""
    cases = make_cases(dataset, "test")
    recommended = np.random.default_rng(1).integers(1, dataset.catalogue.num_items + 1, (len(cases), 20))
    ranks = rank_targets(recommended, cases.targets)
    values = compute_metrics(ranks, recommended, dataset.catalogue.num_items)
    evaluation = Evaluation("test", values, len(cases), 0, ranks, recommended)
    quality = compute_quality(dataset, cases, evaluation)
    return ModelReport("custom", "v1", dataset, cases, evaluation, quality, PART_SIZES, 9000)


def measure_size(dataset: Dataset) -> int:
    text = render_page(build_model_page(make_report(dataset)))
    check_self_contained(parse_html(text))
    return len(text)


def test_size_of_the_page_does_not_grow_with_the_log() -> None:
    small = measure_size(make_dataset(20, 100, 5, with_categories=True))
    large = measure_size(make_dataset(2_000, 1_000_000, 50, with_categories=True))
    assert large < small + 20_000
    assert large < 150_000


def test_log_is_counted_in_bins() -> None:
    profile = profile_log(make_dataset(10, 50, 7))
    assert dict(zip(profile.lengths.labels, profile.lengths.counts, strict=True))["5-9"] == 10
    assert profile.lengths.quantiles == pytest.approx((7, 7, 7, 7))
    assert profile.gaps is not None
    assert dict(zip(profile.gaps.labels, profile.gaps.counts, strict=True))["≤ 1 h"] == 60, "not between users"
    for histogram in (profile.events_over_time, profile.hours):
        assert histogram is not None
        assert sum(histogram.counts) == 70
    assert sum(items for items, _ in profile.classes.values()) == 50
    assert len(profile.popularity) <= 40


@pytest.fixture
def explained_page(tiny_artifact: Path) -> Callable[[int], Page]:
    """Build the page of a small model whose time is over after so many examples."""
    artifact = load_artifact(tiny_artifact, device="cpu")
    random = make_dataset(30, 60, 6)
    dataset = Dataset(artifact.catalogue, random.user_ids, random.offsets, random.items, random.times)
    evaluation = evaluate(artifact.predictor, dataset)
    cases = make_cases(dataset, "test")
    quality = compute_quality(dataset, cases, evaluation)

    def build_page(num_examples: int) -> Page:
        remaining = iter([True] * num_examples)
        return build_model_page(
            ModelReport(
                "sasrec",
                artifact.version,
                dataset,
                cases,
                evaluation,
                quality,
                artifact.bytes_by_part,
                artifact.uncompressed_bytes,
                predictor=artifact.predictor,
                has_time=lambda: next(remaining, False),
            )
        )

    return build_page


def test_examples_have_histories_answers_and_reasons(explained_page: Callable[[int], Page]) -> None:
    (section,) = [section for section in explained_page(10).sections if section.name == "examples"]
    assert len(section.cards) == 10
    assert section.notes == []
    for card in section.cards:
        (_, history), (_, recommended) = card.lists
        assert len(history) == 5
        assert len(recommended) == 10
        reasons = [line.note for line in recommended[:3]]
        assert all(reason.startswith("because of Item number ") for reason in reasons if reason)
        assert not any(line.note for line in recommended[3:])
    assert sum(bool(line.note) for card in section.cards for line in card.lists[1][1]) >= 20


def test_examples_beyond_the_time_limit_are_left_out(explained_page: Callable[[int], Page]) -> None:
    (section,) = [section for section in explained_page(4).sections if section.name == "examples"]
    assert len(section.cards) == 4
    assert section.notes == ["4 of 10 users are shown. The time of --max-minutes is used up."]


@pytest.mark.parametrize(
    ("epochs", "text"), [([0, 1], "1 epoch, 2.0 s"), ([1, 2], "2 epochs, 2.0 s"), ([0], "0 epochs, 1")]
)
def test_epochs_are_counted_without_the_start(epochs: list[int], text: str) -> None:
    points = [make_point(epoch=n, loss=1.0, ndcg=0.1, seconds=1.0, learning_rate=0.1) for n in epochs]
    assert make_training_section(points).text.startswith(text)


@pytest.mark.parametrize(
    ("curve", "text"),
    [
        ([(1, 0.1), (2, 0.3), (3, 0.2)], "The best validated epoch is 2 with NDCG@10 0.3000."),
        (
            [(1, 0.3), (0, 0.1), (1, 0.2), (2, None)],
            "The best validated epoch of the second stage is 1 with NDCG@10 0.2000.",
        ),
        (
            [(1, 0.3), (0, 0.2), (1, 0.1)],
            "The best validated epoch of the second stage is 0, before its training, with NDCG@10 0.2000.",
        ),
    ],
)
def test_best_epoch_is_the_one_whose_weights_are_kept(curve: list[tuple[int, float | None]], text: str) -> None:
    points = [make_point(epoch=n, loss=1.0, ndcg=ndcg, seconds=1.0, learning_rate=0.1) for n, ndcg in curve]
    assert make_training_section(points).text.endswith(text)


def test_long_curve_is_drawn_at_a_few_epochs_and_an_unreadable_one_is_left_out(tmp_path: Path) -> None:
    points = [make_point(epoch=n, loss=1 / n, ndcg=None, seconds=1.0, learning_rate=0.1) for n in range(1, 5001)]
    table = make_training_section(points).figures[0].table
    assert [row[0] for row in (table.rows[0], table.rows[-1])] == ["1", "5000"]
    assert len(table.rows) == MAX_POINTS
    assert read_curve(tmp_path / "log.jsonl") == []
    (tmp_path / "log.jsonl").write_text('{"epoch": 1, "loss": 2.0}\n')
    assert read_curve(tmp_path / "log.jsonl") == []
