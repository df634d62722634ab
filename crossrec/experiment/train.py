"""Training of an experiment's network in its run folder: plan, augmentation, checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossrec.data.identity import TRAIN, VALID
from crossrec.experiment.augmentation import (
    Augmentation,
    augmentation_lines,
    augmentation_report,
    build_augmentation,
    check_augmentation,
    check_fit,
)
from crossrec.experiment.checks import check_config, check_setting
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.distillation import check_teacher, check_teacher_data, teacher_lists
from crossrec.experiment.neighbours import mix_in_neighbours
from crossrec.experiment.prepared import PreparedExperiment, describe_model
from crossrec.experiment.results import show, show_account
from crossrec.experiment.run_folder import add_account, changed_counts, check_run, hold_run, open_run
from crossrec.experiment.text_scorer import fit_text_scorer
from crossrec.experiment.validation import check_choices, validation_metrics
from crossrec.losses.base import RankingLoss
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.semantic_ids.recommender import recommender_of
from crossrec.runtime import distributed
from crossrec.training.parallel import build_accelerator
from crossrec.training.task import ItemPredictionTask
from crossrec.training.teacher import TeacherLists
from crossrec.training.tracking import finish_trackers, start_tracker
from crossrec.training.trainer import Trainer, TrainingOutcome
from crossrec.training.windows import WindowBatches
from crossrec.types import InputError, Recommender, Sequences

if TYPE_CHECKING:
    from accelerate import Accelerator


logger = logging.getLogger(__name__)


@contextmanager
def open_training(config: ExperimentConfig, *, teacher_given: bool = False) -> Iterator[Accelerator]:
    """Check a configuration, join its processes, and hold its run folder; trackers end with the block.

    Data are read in the block: nothing is read for a training that can't start, and the processes that
    ``accelerate launch`` started read together.

    Args:
        config: configuration of the experiment.
        teacher_given: whether the teacher of ``distil`` is a recommender rather than a run.

    Raises:
        InputError: if another training uses the run folder, or a process of this one is gone; if there is
            no teacher to distil.
        ConfigError: if the folder contains a run with another configuration.
    """
    check_config(config)
    check_teacher(config.distil, given=teacher_given)
    accelerator = build_accelerator(config.trainer, config.run_folder)
    with distributed.explained(config.trainer.collective_timeout), hold_run(config.run_folder):
        check_run(config)
        try:
            yield accelerator
        finally:
            finish_trackers(accelerator)
    distributed.unwatch()


def fit_run(
    prepared: PreparedExperiment, accelerator: Accelerator, teacher: Recommender | None = None
) -> tuple[NeuralRecommender, TrainingOutcome]:
    """Train the network of a prepared experiment in its run folder, where a killed training is resumed.

    A text scorer is tuned afterwards and saved beside the network;
    :func:`~crossrec.experiment.text_scorer.text_scored` puts it behind the recommender.

    Args:
        prepared: prepared experiment, in the order of the items of its run.
        accelerator: processes and device, from :func:`open_training`.
        teacher: fitted recommender that ``distil`` learns from; the run that it names when None.

    Returns:
        The recommender with the best weights, and how training ended.

    Raises:
        InputError: if a part lacks data that it needs; nothing has been written then.
    """
    config = prepared.config
    _check_same_data(prepared)
    check_teacher_data(prepared, teacher)
    show_account(prepared)
    check_setting(prepared, accelerator.device)
    network = prepared.network()
    _check_some_input(network)
    _check_parts(prepared, network)
    # Written only now, so that invalid input leaves no run folder behind.
    if distributed.is_main():
        open_run(config)
        _save_account(prepared, network)
    distributed.barrier()

    outcomes: list[TrainingOutcome] = []

    def fit(recommender: NeuralRecommender, train: Sequences) -> None:
        start_tracker(accelerator, config.trainer, config.name, config.model_dump(mode="json"))
        outcomes.append(train_network(prepared, recommender, train, accelerator, teacher))
        show_outcome(outcomes[-1], config)

    recommender = recommender_of(network, fitter=fit, name=describe_model(config))
    recommender.fit(prepared.data.split.train)
    mix_in_neighbours(prepared, recommender)
    fit_text_scorer(prepared, recommender)
    return recommender, outcomes[-1]


def train_network(
    prepared: PreparedExperiment,
    recommender: NeuralRecommender,
    train: Sequences,
    accelerator: Accelerator,
    teacher: Recommender | None = None,
) -> TrainingOutcome:
    """Train the recommender's network in place, monitored on validation; prints the plan first."""
    augmentation = build_augmentation(prepared, recommender.network, train, accelerator)
    account = augmentation_report(augmentation, recommender.network, prepared.config)
    if account and distributed.is_main():
        add_account(prepared.config, "augmentation", account)
    lists = teacher_lists(prepared, train, accelerator.device, teacher)
    trainer = _trainer(prepared, recommender, train, accelerator, augmentation, lists)
    show_plan(prepared, trainer)
    for line in augmentation_lines(account):
        show(line)
    return trainer.fit()


def _trainer(
    prepared: PreparedExperiment,
    recommender: NeuralRecommender,
    train: Sequences,
    accelerator: Accelerator,
    augmentation: Augmentation,
    teacher: TeacherLists | None,
) -> Trainer:
    config, network = prepared.config, recommender.network
    batches = WindowBatches(
        train,
        max_length=network.sequence.max_length,
        batch_size=config.trainer.batch_size,
        overlap=config.trainer.window_overlap,
        seed=config.seed,
        masked=network.sequence.mask_share is not None,
        source=augmentation.source,
        views=augmentation.views,
        teacher=teacher,
    )

    def validate() -> dict[str, float]:
        recommender.refresh()
        return validation_metrics(prepared, recommender)

    return Trainer(
        _task(prepared, network),
        batches,
        config.trainer,
        accelerator=accelerator,
        validate=validate,
        run_folder=config.run_folder,
        seed=config.seed,
        identity=prepared.data.identity,
    )


def _task(prepared: PreparedExperiment, network: SequentialNetwork) -> ItemPredictionTask:
    config, train_items = prepared.config, _train_items(prepared)
    terms = None
    if config.diversity is not None:
        terms = config.diversity.build(prepared.items.take(train_items.numpy()), config.model.width)
    contrastive = None if config.contrastive is None else config.contrastive.build()
    objective = _objective(prepared, train_items)
    return ItemPredictionTask(network, objective, train_items, terms, contrastive, config.distil)


def _train_items(prepared: PreparedExperiment) -> Tensor:
    """Return (N',) catalogue indices of the items that are targets and negatives."""
    counts = prepared.data.split.train_counts
    everything = prepared.config.trainer.negatives_from == "catalogue"
    return torch.arange(len(counts)) if everything else torch.from_numpy(counts.nonzero()[0])


def _objective(prepared: PreparedExperiment, train_items: Tensor) -> RankingLoss:
    rows = train_items.numpy()
    counts, categories = prepared.data.split.train_counts, prepared.data.catalog.category_matrix
    return prepared.config.objective.build(counts[rows], categories[rows])


def _check_same_data(prepared: PreparedExperiment) -> None:
    """Check that a resumed training has the data that it began with.

    Raises:
        InputError: if items, training clicks or validation queries differ.
    """
    if prepared.trained_on is None:
        there = (prepared.config.run_folder / "checkpoints").exists()
        changes = changed_counts(prepared.config, prepared.data.summary()) if there else []
    else:
        changes = prepared.trained_on.differences(prepared.data.identity, (TRAIN, VALID))
    if changes:
        folder = prepared.config.run_folder
        raise InputError(
            f"{folder} holds a training on other data: {'; '.join(changes)}. Train on the data of now under "
            f"another name (name=...) or remove the folder; evaluate.py {folder} uses what is trained there"
        )


def _check_some_input(network: SequentialNetwork) -> None:
    """Check that some item has a modality that the model reads.

    Raises:
        InputError: if none has.
    """
    modalities = network.items.modalities
    if not any(bool(modality.get_buffer("present").any()) for modality in modalities.values()):
        raise InputError(
            f"no item has a modality that the model reads ({', '.join(modalities)}): give the items texts or "
            "images, or the model another modality, such as ids (model.item_id=true)"
        )


def _check_parts(prepared: PreparedExperiment, network: SequentialNetwork) -> None:
    """Check that catalogue and model have what all parts need, before anything is written."""
    check_fit(prepared, prepared.data.split.train)
    check_augmentation(prepared)
    check_choices(prepared.config, prepared.data.split)
    _task(prepared, network)


def show_plan(prepared: PreparedExperiment, trainer: Trainer) -> None:
    """Print the plan of the training."""
    config = prepared.config
    trained = sum(p.numel() for p in trainer.task.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in trainer.task.parameters() if not p.requires_grad)
    per_epoch = len(trainer.batches.epoch(0))
    show(f"Model: {describe_model(config)}, {trained:,} trained and {frozen:,} frozen parameters")
    for name, source in trainer.task.network.items.modalities.items():
        if isinstance(source, FrozenFeatures):
            show(f"Features: {name}, {source.map.describe()}")
    show(
        f"Training: {config.trainer.epochs} epochs of about {per_epoch:,} steps, "
        f"{trainer.batches.n_targets:,} clicks to predict in each; {distributed.world_size()} process(es), "
        f"device {trainer.accelerator.device}, precision {config.trainer.precision}"
    )
    show(f"Results: {config.run_folder}/")


def show_outcome(outcome: TrainingOutcome, config: ExperimentConfig) -> None:
    """Print how training ended."""
    ending = "stopped early" if outcome.stopped_early else "all epochs done"
    best = "never measured" if outcome.best is None else f"{outcome.best:.4f}"
    show(f"Trained {outcome.steps:,} steps, {ending}; best validation {config.trainer.metric} {best}")


def _save_account(prepared: PreparedExperiment, network: SequentialNetwork) -> None:
    data = prepared.data
    add_account(prepared.config, "cleaning", data.report.to_dict())
    add_account(prepared.config, "counts", data.summary())
    add_account(prepared.config, "left_out", data.split.excluded)
    maps = {
        name: source.map
        for name, source in network.items.modalities.items()
        if isinstance(source, FrozenFeatures)
    }
    add_account(prepared.config, "features", {name: found.account() for name, found in maps.items()})
    if prepared.segments is not None:
        sizes = zip(prepared.segments.sizes.tolist(), prepared.segments.notes, strict=True)
        add_account(prepared.config, "user_segments", [{"users": size, "note": note} for size, note in sizes])
