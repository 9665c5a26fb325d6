"""Options of `nextup train`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from app.cli.arguments import fraction, non_negative_int, positive_float, positive_int, seed_int, thread_int
from app.cli.attribute_option import parse_attributes
from app.cli.log_options import LogOptions
from app.cli.options import Option
from app.cli.split_options import SPLIT_HELP, TRAINING, Split, SplitOptions
from app.cli.type_options import TypeOptions
from app.commands.options.device import Device
from app.commands.options.model import ModelOptions

Loss = Literal["softmax", "gbce"]
Schedule = Literal["plateau", "linear"]
InitialVectors = Literal["random", "counts"]
CategoryVectors = Literal["auto", "on", "off"]
Clock = Literal["wall", "cpu"]


@dataclass(kw_only=True)
class TrainOptions(TypeOptions, SplitOptions, ModelOptions, LogOptions):
    """A training run; defaults are those of `TrainingOptions`, and None is left to a measured plan."""

    EXAMPLES = (
        "nextup train ratings.csv --out var/shop",
        "nextup train events/*.parquet --items products.csv --out var/shop --max-minutes 10",
        "nextup train log.csv --columns user=customer,item=sku,time=bought_at --preset popular --out var/popular",
    )

    out: Annotated[Path, Option("folder for the artifact", metavar="DIR", place="output_folder")]
    overwrite: Annotated[bool, Option("replace an existing artifact in --out")] = False
    resume: Annotated[bool, Option("continue an interrupted run from its last checkpoint")] = False
    items: Annotated[
        Path | None,
        Option(
            "titles, categories and attributes of items; live = those of the live catalogue in Redis",
            metavar="FILE|live",
            place="item_source",
        ),
    ] = None
    attributes: Annotated[
        tuple[str, ...] | None,
        Option(
            "attributes of items that place new ones, and share vectors as categories do; auto = all columns of a "
            "file, or all attributes of the live catalogue",
            parse_attributes,
            metavar="auto|none|NAME,…",
            default="auto",
        ),
    ] = None
    device: Annotated[Device, Option("where to train", panel=TRAINING)] = "auto"
    threads: Annotated[
        int,
        Option(
            "CPU threads; 0 = measured with --max-minutes, else chosen by torch",
            thread_int,
            metavar="N",
            panel=TRAINING,
        ),
    ] = 0
    rank_wait: Annotated[
        float,
        Option(
            "longest wait for another rank, in seconds; ranks are started by torchrun",
            positive_float,
            metavar="S",
            panel=TRAINING,
        ),
    ] = 600.0
    epochs: Annotated[
        int | None,
        Option(
            "maximum number of epochs",
            positive_int,
            metavar="N",
            default="200, or measured with --max-minutes",
            panel=TRAINING,
        ),
    ] = None
    max_minutes: Annotated[
        float | None,
        Option(
            "time for the whole run: reading, training, evaluation and export; options that are not set are then "
            "chosen by measurement",
            positive_float,
            metavar="MIN",
            default="no limit",
            panel=TRAINING,
        ),
    ] = None
    clock: Annotated[
        Clock,
        Option(
            "time that --max-minutes limits: wall time, or CPU time of the process, for comparisons on a shared "
            "machine; cpu requires --threads 1",
            panel=TRAINING,
        ),
    ] = "wall"
    patience: Annotated[
        int,
        Option(
            "stop after N epochs without a better NDCG@10, where the schedule is plateau",
            positive_int,
            metavar="N",
            panel=TRAINING,
        ),
    ] = 10
    schedule: Annotated[
        Schedule | None,
        Option(
            "learning rate: halve it when NDCG@10 stops improving, or decay it linearly at the end of --epochs or "
            "--max-minutes",
            default="plateau, or measured with --max-minutes",
            panel=TRAINING,
        ),
    ] = None
    seed: Annotated[int, Option("random seed", seed_int, metavar="N", panel=TRAINING)] = 1
    learning_rate: Annotated[
        float | None,
        Option(
            "initial learning rate",
            positive_float,
            metavar="R",
            default="0.001, or measured with --max-minutes",
            panel=TRAINING,
        ),
    ] = None
    batch_cells: Annotated[
        int | None,
        Option(
            "padded batch size, users × positions",
            positive_int,
            metavar="N",
            default="4096, or measured with --max-minutes",
            panel=TRAINING,
        ),
    ] = None
    loss: Annotated[Loss, Option("softmax cross entropy, or gBCE with uniform negatives", panel=TRAINING)] = "softmax"
    calibration: Annotated[float, Option("calibration t of gBCE, 0 to 1", fraction, metavar="T", panel=TRAINING)] = 0.75
    negatives: Annotated[
        int | None,
        Option(
            "negatives per batch; 0 = full softmax",
            non_negative_int,
            metavar="N",
            default="by catalogue size, or measured with --max-minutes",
            panel=TRAINING,
        ),
    ] = None
    initial_vectors: Annotated[
        InitialVectors | None,
        Option(
            "vectors of items before the training: random, or factors of their co-occurrence counts, which a short "
            "training gains from",
            default="random, or counts with --max-minutes",
            panel=TRAINING,
        ),
    ] = None
    category_vectors: Annotated[
        CategoryVectors,
        Option(
            "items of a category, or with the same attribute, share a vector while the first stage trains; auto = "
            "where the preset compresses vectors and the items have categories or attributes",
            panel=TRAINING,
        ),
    ] = "auto"
    keep_seen: Annotated[
        bool, Option("do not filter seen items during evaluation, for logs with repeats", panel=TRAINING)
    ] = False
    min_item_events: Annotated[
        int | None,
        Option(
            "drop items with fewer events",
            non_negative_int,
            metavar="N",
            default="5, or 1 for a log of fewer than 10,000 events",
            panel=TRAINING,
        ),
    ] = None
    split: Annotated[Split | None, Option(SPLIT_HELP, panel=TRAINING)] = "leave-one-out"
