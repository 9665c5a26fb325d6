"""`nextup index`: build an ANN index for an artifact; its recall is measured on histories of a log."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from app.cli.arguments import non_negative_int, positive_int
from app.cli.log_files import add_log_arguments, read_log
from models.artifact import load_artifact
from models.data.dataset import encode
from models.indexing import MIN_INDEX_ITEMS, add_index
from models.scorers.ann.ivf import has_faiss

NUM_QUERIES = 1_000


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, metavar="ARTIFACT", help="folder of the artifact")
    add_log_arguments(parser)
    parser.add_argument(
        "--queries",
        type=positive_int,
        default=NUM_QUERIES,
        metavar="N",
        help="histories on which recall is measured (default: %(default)s)",
    )
    parser.add_argument(
        "--min-items",
        type=non_negative_int,
        default=MIN_INDEX_ITEMS,
        metavar="N",
        help="smallest catalogue to index; smaller ones are scanned exactly (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=non_negative_int, default=0, metavar="N", help="CPU threads; 0 = chosen by torch (default)"
    )


def run(arguments: argparse.Namespace) -> int:
    if not has_faiss():
        raise ValueError("faiss is not installed; an index needs it: pip install 'nextup[ann]'")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    artifact = load_artifact(arguments.artifact, device="cpu")
    if artifact.catalogue.num_items < arguments.min_items:
        raise ValueError(
            f"an index needs at least {arguments.min_items:,} items (got {artifact.catalogue.num_items:,}); "
            "smaller catalogues are scanned exactly within milliseconds, or lower --min-items"
        )
    dataset = encode(read_log(arguments).events, artifact.catalogue)
    users = np.linspace(0, dataset.num_users - 1, min(arguments.queries, dataset.num_users)).astype(int)
    index = add_index(artifact, [dataset.history(user) for user in users])
    if index is None:
        print("no index built: scores are not inner products, or sufficient recall costs as much as an exact scan")
    else:
        print(f"index built: nprobe {index['probes']} of {index['lists']} lists, recall@10 {index['recall@10']:.4f}")
    print(json.dumps({"version": artifact.version, "index": index, "passed": index is not None}))
    return 0 if index is not None else 1
