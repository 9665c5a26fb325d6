"""From a config to trained weights: counted, trained in one stage, or in two.

An embedding that compresses trained vectors (`starts_from_full_table`) is trained twice: first the same model with a
full table, then the model itself, starting from the quantized vectors and the other weights. Codes chosen for trained
vectors lose less accuracy than codes chosen from the log, and the second stage recovers most of it (models/LOG.md).
"""

import dataclasses

import torch

from models.build import build_model, complete_config
from models.catalogue.catalogue import Catalogue
from models.config import ModelConfig, Part
from models.data.dataset import Dataset
from models.data.splits import select_training_histories
from models.heads.popularity import PopularityHead
from models.recommender import SequentialRecommender
from models.training.checkpoint import EpochRecord
from models.training.options import RunContext, TrainingOptions
from models.training.trainer import Trainer

FULL_TABLE_FOLDER = "full"
"""Subfolder for the checkpoint of the first stage."""


def train_model(
    dataset: Dataset, config: ModelConfig, options: TrainingOptions, context: RunContext
) -> tuple[SequentialRecommender, list[EpochRecord], EpochRecord | None]:
    """Return the model with its best weights, the curve of all epochs, and the best epoch.

    A popularity model has no epochs. Checkpoints stay in the context's folder.
    """
    catalogue = dataset.catalogue
    torch.manual_seed(options.seed)
    model = build_model(complete_config(config, catalogue), catalogue.num_items)
    if isinstance(model.head, PopularityHead):
        fit_popularity(model, model.head, catalogue)
        return model, [], None
    model.embedding.fit(catalogue, select_training_histories(dataset))
    if not model.embedding.starts_from_full_table:
        curve, best = _train_stage(model, dataset, options, context)
        return model, curve, best
    torch.manual_seed(options.seed)
    full = build_model(dataclasses.replace(config, embedding=Part("full")), catalogue.num_items)
    first_curve, _ = _train_stage(full, dataset, options.to_first_stage(), context.in_subfolder(FULL_TABLE_FOLDER))
    transfer_weights(model, full.cpu(), catalogue)
    second_curve, best = _train_stage(model, dataset, options.to_second_stage(), context)
    offset = len(first_curve)
    return model, [*first_curve, *(_shift(record, offset) for record in second_curve)], _shift(best, offset)


def transfer_weights(model: SequentialRecommender, full: SequentialRecommender, catalogue: Catalogue) -> None:
    """Initialize `model` from `full`, which differs only in its embedding."""
    model.embedding.approximate(full.embedding.table(), catalogue)
    model.encoder.load_state_dict(full.encoder.state_dict())
    model.head.load_state_dict(full.head.state_dict())
    if model.intervals is not None and full.intervals is not None:
        model.intervals.load_state_dict(full.intervals.state_dict())


def fit_popularity(model: SequentialRecommender, head: PopularityHead, catalogue: Catalogue) -> None:
    """Set scores to counts, and item vectors to zero, so that similar items are popular rather than random ones."""
    head.counts[1:] = torch.from_numpy(catalogue.counts)
    with torch.no_grad():
        for vectors in model.embedding.parameters():
            vectors.zero_()


def _train_stage(
    model: SequentialRecommender, dataset: Dataset, options: TrainingOptions, context: RunContext
) -> tuple[list[EpochRecord], EpochRecord]:
    trainer = Trainer(model, dataset, options, context)
    if context.resume:
        trainer.resume()
    best = trainer.run()
    return trainer.curve, best


def _shift(record: EpochRecord, offset: int) -> EpochRecord:
    return dataclasses.replace(record, epoch=offset + record.epoch)
