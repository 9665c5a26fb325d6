"""A chart of recorded benchmarks: throughput of the service and its peers, and latency by catalogue size.

It reads the records that `app/bench/record.py` wrote, so it cannot disagree with them.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.bench.scaling import MAX_P90_MS

LABELS = {
    "recommend": "nextup, {workers} workers",
    "recommend_2": "2 workers",
    "recommend_1": "1 worker",
    "torchserve": "TorchServe, same model",
    "naive": "plain FastAPI handler",
}
TICKS_MS = (1, 2, 5, 10, 20, 50)
NEXTUP_COLOR, PEER_COLOR = "tab:green", "tab:gray"


def render_chart(folder: Path) -> bytes:
    """Render serve.json and scaling.json of `folder` as PNG; FileNotFoundError, KeyError or ValueError otherwise."""
    serve, scaling = (json.loads((folder / f"{name}.json").read_text()) for name in ("serve", "scaling"))
    figure = Figure(figsize=(10, 3.6), dpi=120, layout="constrained")
    rate_axes, latency_axes = figure.subplots(1, 2)
    _draw_rates(rate_axes, serve["result"])
    _draw_latencies(latency_axes, scaling["result"])
    figure.supxlabel(
        f"{serve['machine']['processor']}, {serve['machine']['cores']} cores, load generator included", size=8
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _draw_rates(axes: Axes, result: Mapping[str, Any]) -> None:
    names = [name for name in LABELS if f"{name}_rps" in result]
    labels = [LABELS[name].format(workers=result["workers"]) for name in names]
    rates = [result[f"{name}_rps"] for name in names]
    colors = [NEXTUP_COLOR if name.startswith("recommend") else PEER_COLOR for name in names]
    bars = axes.barh(labels, rates, color=colors)
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(title="POST /recommend, responses per second", xticks=[])
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _draw_latencies(axes: Axes, result: Mapping[str, Any]) -> None:
    steps = result["rungs"]
    sizes = [step["items"] for step in steps]
    for name, style in (("p99", ":"), ("p90", "-"), ("p50", "--")):
        axes.plot(sizes, [step[f"{name}_ms"] for step in steps], style, color=NEXTUP_COLOR, marker="o", label=name)
    axes.axhline(MAX_P90_MS, color="tab:red", linewidth=1)
    axes.annotate(f"{MAX_P90_MS:.0f} ms", (sizes[0], MAX_P90_MS), (0, 3), textcoords="offset points", color="tab:red")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{_format_count(step['items'])}\n{step['rate']:,.0f}/s" for step in steps])
    axes.set_yticks(TICKS_MS, [str(tick) for tick in TICKS_MS])
    axes.minorticks_off()
    axes.set(title="latency in ms by catalogue size, each at its rate")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _format_count(items: int) -> str:
    return f"{items // 1_000_000} M" if items >= 1_000_000 else f"{items // 1000} k"
