"""From a config to trained weights: counted, trained in one stage, or trained in full and then compressed.

An embedding that is compressed from trained vectors (`starts_from_full_table`) is trained twice: first the same model with a full
table, then, from its quantised vectors and its other weights, the model itself. Codes that are chosen for vectors lose
less than codes that are chosen for the log, and the second stage wins most of the loss back (models/LOG.md).
"""

import dataclasses
from pathlib import Path

import torch

from models.build import build_model, complete_config
from models.catalogue.catalogue import Catalogue
from models.config import ModelConfig, Part
from models.data.dataset import Dataset
from models.data.splits import select_training_histories
from models.heads.popularity import PopularityHead
from models.ranks import SINGLE_PROCESS, Ranks
from models.recommender import SequentialRecommender
from models.training.options import TrainingOptions
from models.training.trainer import EpochRecord, Trainer

FIRST = "full"
"""Folder of the first stage's checkpoint."""


def train_model(
    dataset: Dataset,
    config: ModelConfig,
    options: TrainingOptions,
    device: torch.device,
    folder: Path,
    *,
    resume: bool,
    ranks: Ranks = SINGLE_PROCESS,
) -> tuple[SequentialRecommender, list[EpochRecord], EpochRecord | None]:
    """The model with its best weights, the curve of all epochs, and the epoch that gave the weights.

    There are no epochs where nothing is trained. Checkpoints stay in `folder`.
    """
    catalogue = dataset.catalogue
    torch.manual_seed(options.seed)
    model = build_model(complete_config(config, catalogue), catalogue.num_items)
    if isinstance(model.head, PopularityHead):
        fit_popularity(model, model.head, catalogue)
        return model, [], None
    model.embedding.fit(catalogue, select_training_histories(dataset))
    if not model.embedding.starts_from_full_table:
        curve, best = _stage(model, dataset, options, device, folder, resume=resume, ranks=ranks)
        return model, curve, best
    torch.manual_seed(options.seed)
    full = build_model(dataclasses.replace(config, embedding=Part("full")), catalogue.num_items)
    first, _ = _stage(full, dataset, options.to_first_stage(), device, folder / FIRST, resume=resume, ranks=ranks)
    transfer_weights(model, full.cpu(), catalogue)
    second, best = _stage(model, dataset, options.to_second_stage(), device, folder, resume=resume, ranks=ranks)
    return model, [*first, *(_after(first, record) for record in second)], _after(first, best)


def _after(first: list[EpochRecord], record: EpochRecord) -> EpochRecord:
    return dataclasses.replace(record, epoch=len(first) + record.epoch)


def transfer_weights(model: SequentialRecommender, full: SequentialRecommender, catalogue: Catalogue) -> None:
    """Give `model` the weights of `full`, which differs from it in the embedding alone."""
    model.embedding.approximate(full.embedding.table(), catalogue)
    model.encoder.load_state_dict(full.encoder.state_dict())
    model.head.load_state_dict(full.head.state_dict())
    if model.intervals is not None and full.intervals is not None:
        model.intervals.load_state_dict(full.intervals.state_dict())


def fit_popularity(model: SequentialRecommender, head: PopularityHead, catalogue: Catalogue) -> None:
    """Scores are counts. Item vectors are zero, so that "similar" items are the popular ones and not random ones."""
    head.counts[1:] = torch.from_numpy(catalogue.counts)
    with torch.no_grad():
        for vectors in model.embedding.parameters():
            vectors.zero_()


def _stage(
    model: SequentialRecommender,
    dataset: Dataset,
    options: TrainingOptions,
    device: torch.device,
    folder: Path,
    *,
    resume: bool,
    ranks: Ranks,
) -> tuple[list[EpochRecord], EpochRecord]:
    trainer = Trainer(model, dataset, options, device, folder, ranks)
    if resume:
        trainer.resume()
    best = trainer.run()
    return trainer.curve, best
