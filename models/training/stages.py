"""From a config to trained weights: counted, trained in one stage, or in two.

An embedding that compresses trained vectors (`starts_from_full_table`) is trained twice: first the same model with a
full table, then the model itself, starting from the quantized vectors and the other weights. Codes chosen for trained
vectors lose less accuracy than codes chosen from the log, and the second stage recovers most of it (models/LOG.md).
"""

import dataclasses
import logging

import torch

from models.build import build_model, complete_config
from models.catalogue.catalogue import Catalogue
from models.config import ModelConfig, Part
from models.data.dataset import Dataset
from models.data.splits import select_training_histories, select_training_times
from models.embeddings.assignment import estimate_quantization_s
from models.embeddings.full import FullEmbedding
from models.heads.popularity import PopularityHead
from models.recommender import SequentialRecommender
from models.training.category_table import CategoryTable
from models.training.checkpoint import EpochRecord, check_resumable, compute_fingerprint
from models.training.hidden_moments import compute_hidden_moments
from models.training.initial_vectors import compute_initial_vectors
from models.training.options import RunContext, TrainingOptions
from models.training.trainer import Trainer

log = logging.getLogger(__name__)

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
    fit_times(model, dataset)
    check_category_vectors(model, catalogue, options)
    if isinstance(model.head, PopularityHead):
        fit_popularity(model, model.head, catalogue)
        return model, [], None
    model.embedding.fit(catalogue, select_training_histories(dataset))
    if not model.embedding.starts_from_full_table:
        start_vectors(model, dataset, options, context)
        trainer = _train_stage(model, dataset, options, context)
        return model, trainer.curve, trainer.best_record
    if context.resume:  # of another run: refused here rather than after the whole first stage
        check_resumable(context, compute_fingerprint(model, dataset, options.to_second_stage()))
    torch.manual_seed(options.seed)
    full = build_model(dataclasses.replace(config, embedding=Part("full")), catalogue.num_items)
    fit_times(full, dataset)
    start_vectors(full, dataset, options, context)
    share_category_vectors(full, catalogue, options)
    first_options = options.to_first_stage(estimate_quantization_s(catalogue.num_items))
    first = _train_stage(full, dataset, first_options, context.in_subfolder(FULL_TABLE_FOLDER))
    started_at = context.clock()
    full.embedding = full.embedding.merge()
    transfer_weights(model, full.cpu(), catalogue)
    refine_embedding(model, full, dataset)
    # Of an earlier run that is resumed, too: the clock alone would count this run only.
    spent_s = context.ranks.broadcast_object(first.state.trained_s + context.clock() - started_at)
    second = _train_stage(model, dataset, options.to_second_stage(spent_s), context)
    # Epoch 0 of the second stage is its start: the quantized model, which is kept unless training improves it.
    first_curve, second_curve, best = first.curve, [row for row in second.curve if row.epoch], second.best_record
    offset = first_curve[-1].epoch
    return model, [*first_curve, *(_shift(record, offset) for record in second_curve)], _shift(best, offset)


def transfer_weights(model: SequentialRecommender, full: SequentialRecommender, catalogue: Catalogue) -> None:
    """Initialize `model` from `full`, which differs only in its embedding."""
    model.embedding.approximate(full.embedding.table(), catalogue)
    model.encoder.load_state_dict(full.encoder.state_dict())
    model.head.load_state_dict(full.head.state_dict())
    parts = ((model.intervals, full.intervals), (model.periods, full.periods), (model.requests, full.requests))
    for part, full_part in parts:
        if part is not None and full_part is not None:
            part.load_state_dict(full_part.state_dict())


def refine_embedding(model: SequentialRecommender, full: SequentialRecommender, dataset: Dataset) -> None:
    """Fit the compressed table to the scores of the full model, where the embedding can be."""
    if model.embedding.is_refinable:
        moments = compute_hidden_moments(full, dataset)
        model.embedding.refine(full.embedding.table(), dataset.catalogue, moments)


def fit_times(model: SequentialRecommender, dataset: Dataset) -> None:
    """Set the buffers of the layers that read times to those of the training events."""
    for part in (model.periods, model.requests):
        if part is not None:
            part.fit(select_training_times(dataset))


def start_vectors(
    model: SequentialRecommender, dataset: Dataset, options: TrainingOptions, context: RunContext
) -> None:
    """Replace the random vectors of a full table where the options say so; other ranks receive them from the first."""
    if options.initial_vectors == "counts" and isinstance(model.embedding, FullEmbedding) and context.ranks.is_first:
        with torch.no_grad():
            model.embedding.vectors.weight.copy_(compute_initial_vectors(dataset, model.config.dim, options.seed))


def share_category_vectors(model: SequentialRecommender, catalogue: Catalogue, options: TrainingOptions) -> None:
    """Add vectors of categories and attributes to those of the items, if there are any and the options allow it."""
    indexes = [index for index in (catalogue.categories, catalogue.attributes.index) if len(index.numbers)]
    if options.category_vectors != "off" and indexes:
        assert isinstance(model.embedding, FullEmbedding)
        names = f"{len(catalogue.categories.names):,} categories and {len(catalogue.attributes.index.names):,} values"
        log.info("items share vectors of %s of attributes in the first stage (--category-vectors)", names)
        model.embedding = CategoryTable(model.embedding, *indexes)


def fit_popularity(model: SequentialRecommender, head: PopularityHead, catalogue: Catalogue) -> None:
    """Set scores to counts, and item vectors to zero, so that similar items are popular rather than random ones."""
    head.counts[1:] = torch.from_numpy(catalogue.counts)
    with torch.no_grad():
        for vectors in model.embedding.parameters():
            vectors.zero_()


def check_category_vectors(model: SequentialRecommender, catalogue: Catalogue, options: TrainingOptions) -> None:
    """ValueError where category vectors are required, but there is no first stage, or no category."""
    if options.category_vectors != "on":
        return
    if not model.embedding.starts_from_full_table:
        raise ValueError("--category-vectors on needs a preset that compresses a trained table, such as blossom")
    if not (len(catalogue.categories.numbers) or catalogue.attributes.has_features):
        raise ValueError(
            "--category-vectors on needs items with categories or attributes; pass --items with a categories column"
        )


def _train_stage(
    model: SequentialRecommender, dataset: Dataset, options: TrainingOptions, context: RunContext
) -> Trainer:
    """Train until the stage ends and return its trainer; the model has the best weights."""
    trainer = Trainer(model, dataset, options, context)
    if context.resume:
        trainer.resume()
    trainer.run()
    return trainer


def _shift(record: EpochRecord, offset: int) -> EpochRecord:
    return dataclasses.replace(record, epoch=offset + record.epoch)
