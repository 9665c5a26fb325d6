"""HTML reports of the serving and the scaling benchmark: the numbers of the JSON result, also without responses."""

from dataclasses import replace

import numpy as np
import pytest

from app.bench.resources import ProcessMemory
from app.bench.scaling import ScaleResult, ScaleStep, make_scaling_table
from app.bench.scaling_page import build_scaling_page
from app.bench.serve.page import build_serve_page
from app.bench.serve.report import GENERATOR, ServerSummary, build_result, make_rounds_table, summarize_rounds
from app.bench.serve.rounds import Round
from models.reports.page import Page, render_page
from service_tests.app.bench.load.load_results import make_result
from service_tests.support.html_pages import HtmlPage, check_self_contained, parse_html

FACTS = {"processor": "<b>fast</b>"}
LATENCIES_S = np.arange(1, 2001) / 1e5
"""0.01 to 20 ms."""


def summarize(name: str, latencies_s: np.ndarray, failures: dict[str, int] | None = None) -> ServerSummary:
    parts = np.split(latencies_s, 2)
    served_by = {"model": 9}
    results = [make_result(len(each), latencies_s=each, failures=failures, served_by=served_by) for each in parts]
    return summarize_rounds(name, [Round(result, 0.5) for result in results])


def read_page(page: Page) -> HtmlPage:
    parsed = parse_html(render_page(page))
    check_self_contained(parsed)
    assert "<b>fast</b>" in parsed.text
    return parsed


def build_page_of(summaries: dict[str, ServerSummary], reasons: list[str]) -> HtmlPage:
    run = {"connections": 4, "rate": None, "workers": 1, "users": 7, "not_measured": {"naive": "no torch"}}
    result = {**build_result(summaries), **run, "passed": not reasons}
    return read_page(build_serve_page(summaries, result, FACTS, reasons))


def test_tail_is_that_of_all_rounds_together() -> None:
    tail = dict(summarize("recommend", np.random.default_rng(0).permutation(LATENCIES_S)).tail_ms)
    assert tail[1] == pytest.approx(0.01)
    assert tail[10] == pytest.approx(1000 * np.percentile(LATENCIES_S, 90))
    assert tail[1000] == pytest.approx(1000 * np.percentile(LATENCIES_S, 99.9))
    assert max(tail) < 2000, "2,000 reads have no slower one in more"


def test_serve_page_has_the_numbers_of_the_table() -> None:
    summaries = {
        name: summarize(name, factor * LATENCIES_S)
        for name, factor in (("recommend", 1), ("echo", 0.5), (GENERATOR, 0.1))
    }
    page = build_page_of(summaries, ["p99 is <slow>"])
    servers = [summaries["recommend"], summaries["echo"]]
    head, rows = make_rounds_table(servers)
    assert page.tables["Servers"] == [head, *rows]
    assert [row[0] for row in page.tables["Responses per second"][1:]] == ["recommend", "echo"]
    assert page.tables["Latency distribution"][0] == ["one read in", "recommend", "echo"]
    tails = {row[0]: row[1:] for row in page.tables["Latency distribution"][1:]}
    assert tails["10"] == ["18.00", "9.00"]
    assert "Not passed: p99 is <slow>" in page.text
    assert "naive was not measured: no torch" in page.text


def test_serve_page_without_responses_says_so() -> None:
    summaries = {name: summarize(name, np.empty(0), {"refused": 3}) for name in ("recommend", "echo", GENERATOR)}
    page = build_page_of(summaries, ["no response"])
    assert "Not measured: there were no responses." in page.text


def test_scaling_page_has_the_table_and_the_missed_target() -> None:
    memory = ProcessMemory(pss=3_000_000_000, uss=2_000_000_000, rss=9_000_000_000)
    small = ScaleResult(ScaleStep(1000, 10.0), summarize("recommend", LATENCIES_S), memory, memory, 80_000, 1.5, 1.0)
    slow = replace(
        small, step=ScaleStep(1_000_000, 50.5), summary=summarize("recommend", 10 * LATENCIES_S), memory=None
    )
    result = {"preset": "blossom", "workers": 2, "seconds": 30.0}
    page = read_page(build_scaling_page([small, slow], result, FACTS))
    head, rows = make_scaling_table([small, slow])
    assert page.tables["Scaling table"] == [head, *rows]
    assert page.tables["Latency distribution"][0] == ["one read in", "1,000 items at 10/s", "1,000,000 items at 50.5/s"]
    assert page.tables["Memory of the service (PSS)"] == [["", "bytes"], ["1,000 items at 10/s", "3,000,000,000"]]
    assert "Not passed: 1,000,000 items at 50.5/s: p90 of " in page.text
    assert "1 of 2" in page.text


def test_scaling_page_without_responses_says_so() -> None:
    step = ScaleResult(ScaleStep(1000, 10.0), summarize("recommend", np.empty(0)), None, None, 80_000, 1.5, None)
    page = read_page(build_scaling_page([step], {"preset": "blossom", "workers": 2, "seconds": 30.0}, FACTS))
    assert "Not measured: there were no responses." in page.text
    assert "Not passed: 1,000 items at 10/s: no responses" in page.text
