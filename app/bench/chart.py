"""Recorded benchmarks as one picture: what a service answers beside its peers, and latency by size of the catalogue.

It reads what `app/bench/record.py` wrote, so that a picture cannot show other figures than the record.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.bench.scaling import MAX_P90_MS

NAMES = {
    "recommend": "nextup, {workers} workers",
    "recommend_2": "2 workers",
    "recommend_1": "1 worker",
    "torchserve": "TorchServe, same model",
    "naive": "plain FastAPI handler",
}
TICKS_MS = (1, 2, 5, 10, 20, 50)
OURS, OTHERS = "tab:green", "tab:gray"


def render_chart(folder: Path) -> bytes:
    """A PNG of serve.json and ladder.json in `folder`; FileNotFoundError, KeyError or ValueError for others."""
    serve, ladder = (json.loads((folder / f"{name}.json").read_text()) for name in ("serve", "ladder"))
    figure = Figure(figsize=(10, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    _rates(left, serve["result"])
    _latencies(right, ladder["result"])
    figure.supxlabel(
        f"{serve['machine']['processor']}, {serve['machine']['cores']} cores, load generator included", size=8
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _rates(axes: Axes, result: Mapping[str, Any]) -> None:
    found = [(name, label, result[f"{name}_rps"]) for name, label in NAMES.items() if f"{name}_rps" in result]
    labels = [label.format(workers=result["workers"]) for _, label, _ in found]
    rates = [rate for _, _, rate in found]
    colours = [OURS if name.startswith("recommend") else OTHERS for name, _, _ in found]
    bars = axes.barh(labels, rates, color=colours)
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(title="POST /recommend, answers per second", xticks=[])
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _latencies(axes: Axes, result: Mapping[str, Any]) -> None:
    rungs = result["rungs"]
    sizes = [rung["items"] for rung in rungs]
    for name, style in (("p99", ":"), ("p90", "-"), ("p50", "--")):
        axes.plot(sizes, [rung[f"{name}_ms"] for rung in rungs], style, color=OURS, marker="o", label=name)
    axes.axhline(MAX_P90_MS, color="tab:red", linewidth=1)
    axes.annotate(f"{MAX_P90_MS:.0f} ms", (sizes[0], MAX_P90_MS), (0, 3), textcoords="offset points", color="tab:red")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{_short(rung['items'])}\n{rung['rate']:,.0f}/s" for rung in rungs])
    axes.set_yticks(TICKS_MS, [str(tick) for tick in TICKS_MS])
    axes.minorticks_off()
    axes.set(title="milliseconds by items, each size at its rate")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _short(items: int) -> str:
    return f"{items // 1_000_000} M" if items >= 1_000_000 else f"{items // 1000} k"
