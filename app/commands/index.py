"""`nextup index`: an index for approximate answers, built on an artifact and judged by the histories of a log."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from app.cli.log_files import add_log_arguments, read_log
from models.artifact import load_artifact
from models.data.dataset import encode
from models.indexing import MIN_INDEX_ITEMS, add_index
from models.scorers.ann.ivf_index import has_faiss

QUERIES = 1_000


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, metavar="ARTIFACT", help="folder of the artifact")
    add_log_arguments(parser)
    parser.add_argument(
        "--queries", type=int, default=QUERIES, help=f"histories that recall is measured on ({QUERIES})"
    )
    parser.add_argument(
        "--min-items", type=int, default=MIN_INDEX_ITEMS, help=f"refuse smaller catalogues ({MIN_INDEX_ITEMS:,})"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves it to torch")


def run(arguments: argparse.Namespace) -> int:
    if not has_faiss():
        raise ValueError("an index needs faiss: pip install 'nextup[ann]'")
    if arguments.queries < 1:
        raise ValueError(f"--queries is {arguments.queries}; at least 1")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    artifact = load_artifact(arguments.artifact, device="cpu")
    if artifact.catalogue.num_items < arguments.min_items:
        few = f"{artifact.catalogue.num_items:,} items are scanned exactly in no time"
        raise ValueError(f"{few}; an index is for {arguments.min_items:,} and more, see --min-items")
    dataset = encode(read_log(arguments).events, artifact.catalogue)
    users = np.linspace(0, dataset.num_users - 1, min(arguments.queries, dataset.num_users)).astype(int)
    told = add_index(artifact, [dataset.history(user) for user in users])
    if told is None:
        print("no index: these scores are no inner products, or recall costs as much as an exact scan")
    else:
        print(f"{told['probes']} of {told['lists']} lists are read, recall@10 {told['recall@10']:.4f}")
    print(json.dumps({"version": artifact.version, "index": told, "passed": told is not None}))
    return 0 if told is not None else 1
