"""The training curve as a picture: loss and validation metric by epoch."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from models.training.trainer import EpochRecord


def curve_png(curve: Sequence[EpochRecord], title: str) -> bytes:
    """A PNG; uses no display and no global state of matplotlib."""
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    losses = figure.add_subplot()
    epochs = [record.epoch for record in curve]
    losses.plot(epochs, [record.loss for record in curve], color="tab:gray", marker=".")
    losses.set(xlabel="epoch", ylabel="training loss", title=title)
    goals = losses.twinx()
    goals.plot(epochs, [record.ndcg for record in curve], color="tab:blue", marker=".")
    goals.set_ylabel("validation NDCG@10", color="tab:blue")
    best = max(curve, key=lambda record: record.ndcg)
    goals.annotate(f"{best.ndcg:.4f}", (best.epoch, best.ndcg), textcoords="offset points", xytext=(0, 6), ha="center")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
