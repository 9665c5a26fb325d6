"""`nextup index`: build an ANN index for an artifact; its recall is measured on histories of a log."""

import json

import numpy as np
import torch

from app.cli.event_types import apply_recorded_types
from app.cli.log_files import UNKNOWN_ITEMS, read_log
from app.commands.options.index import IndexOptions
from models.artifact import load_artifact
from models.data.dataset import encode
from models.indexing import add_index
from models.scorers.ann.ivf import has_faiss


def run(arguments: IndexOptions) -> int:
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
    log = read_log(arguments)
    apply_recorded_types(log, artifact.manifest)
    log.report_dropped_items(artifact.catalogue.item_ids, UNKNOWN_ITEMS)
    dataset = encode(log.events, artifact.catalogue)
    users = np.linspace(0, dataset.num_users - 1, min(arguments.queries, dataset.num_users)).astype(int)
    index = add_index(artifact, [dataset.known_history(user) for user in users])
    if index is None:
        print(
            "no index built: there are fewer than 16 items, scores are not inner products, or sufficient recall costs "
            "as much as an exact scan; the artifact is unchanged"
        )
    else:
        print(f"index built: nprobe {index['probes']} of {index['lists']} lists, recall@10 {index['recall@10']:.4f}")
    print(json.dumps({"version": artifact.version, "index": index, "passed": index is not None, **log.to_json()}))
    return 0 if index is not None else 1
