"""All augmentation of one fit: checked, built, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossrec.augment.generators.application import (
    SyntheticItems,
    SyntheticUsers,
    few_click_users,
    oversampled_items,
)
from crossrec.augment.guard import LeakageChecker
from crossrec.augment.resample import Resampler, build_resampler
from crossrec.augment.sequences.base import SequenceContext
from crossrec.augment.sequences.compose import SequenceAugmentConfig
from crossrec.data.neighbours import no_content
from crossrec.experiment.augmentation.lookups import SyntheticLookups
from crossrec.experiment.augmentation.rows import Guarded, WithSyntheticUsers
from crossrec.experiment.augmentation.synthesis import Synthesis, required_features, wanted_spaces
from crossrec.experiment.prepared import content_vectors, frozen_features
from crossrec.model.modalities import FrozenFeatures
from crossrec.training.epochs import AugmentedCopies, EpochSource, LogRows
from crossrec.training.windows import ViewMaker
from crossrec.types import InputError, Sequences

if TYPE_CHECKING:
    from accelerate import Accelerator

    from crossrec.augment.generators.application import SynthesisUseConfig, SyntheticItemsConfig
    from crossrec.augment.sequences.base import SequenceAugmenter
    from crossrec.experiment.prepared import PreparedExperiment
    from crossrec.model.network import SequentialNetwork


@dataclass(frozen=True)
class Augmentation:
    """What a fit trains on besides the training log.

    Args:
        source: rows of each epoch, checked.
        views: makes two views of each history; None where no loss compares them.
        resampler: draws users; None where all come once.
        users: synthetic ones; None for none.
        items: synthetic ones by modality; they hang on the network.
        quality: figures of the generators.
    """

    source: EpochSource
    views: ViewMaker | None
    resampler: Resampler | None
    users: SyntheticUsers | None
    items: Mapping[str, SyntheticItems]
    quality: Mapping[str, Any]


def build_augmentation(
    setting: PreparedExperiment, network: SequentialNetwork, train: Sequences, accelerator: Accelerator
) -> Augmentation:
    """Checks the training clicks against the split, then builds everything; every process must call this.

    Synthetic items are attached to the network.

    Raises:
        DataLeakageError: something of validation or test would be trained on.
        InputError: something that is asked for needs what the data or the model lack.
    """
    guard = check_fit(setting, train)
    config, seed, epochs = setting.config, setting.config.seed, setting.config.trainer.epochs
    augment = config.augment
    resampler = _resampler(setting, train)
    source: EpochSource = LogRows(train, None if resampler is None else resampler.rows)
    users, items, quality = None, {}, {}
    if augment is not None and augment.synthesis is not None:
        wanted = augment.synthesis
        synthesis = Synthesis(setting, train, guard, accelerator, wanted)
        if wanted.items is not None:
            items = synthesis.items(wanted.items, seed)
            _attach(items, network, wanted.items, seed)
        if wanted.users is not None:
            users = synthesis.users(wanted.users, seed)
            guard.check_augmented(users.rows, "the synthetic users")
            source = WithSyntheticUsers(
                source, users, schedule=wanted.users.schedule, epochs=epochs, n_rows=len(train)
            )
        quality = synthesis.quality
    views = None
    if augment is not None and augment.sequence is not None:
        augmenter = _sequence_augmenter(setting, augment.sequence, guard, train)
        if augment.sequence.copies > 0:
            source = AugmentedCopies(
                source,
                augmenter,
                copies=augment.sequence.copies,
                max_clicks=augment.sequence.max_clicks,
                schedule=augment.sequence.schedule,
                epochs=epochs,
                seed=seed,
            )
        if config.contrastive is not None and config.contrastive.needs_views:
            views = ViewMaker(augmenter, max_length=network.history_length, seed=seed)
    return Augmentation(Guarded(source, guard, train), views, resampler, users, items, quality)


def check_fit(setting: PreparedExperiment, train: Sequences) -> LeakageChecker:
    """Compares what a fit is given with the training part of the split.

    Raises:
        DataLeakageError: a click, a count or a cut is not that of the training part.
    """
    data = setting.data
    guard = LeakageChecker(data.split, data.catalog.item_ids, data.clicks.user_ids)
    guard.check_split()
    guard.check_sequences(train, "the training")
    guard.check_counts(data.split.train_counts, "what is made of popularity (negatives, balance, views)")
    return guard


def check_augmentation(setting: PreparedExperiment) -> None:
    """Refuses augmentation that the data or the model lack something for, before anything is written.

    Raises:
        InputError: names the key and the way out.
    """
    _resampler(setting, setting.data.split.train)
    augment = setting.config.augment
    if augment is None:
        return
    if augment.sequence is not None:
        _check_sequence(setting, augment.sequence)
    if augment.synthesis is not None:
        _check_synthesis(setting, augment.synthesis)


def _check_sequence(setting: PreparedExperiment, config: SequenceAugmentConfig) -> None:
    contrastive = setting.config.contrastive
    if config.copies == 0 and (contrastive is None or not contrastive.needs_views):
        raise InputError(
            "augment.sequence does nothing: copies is 0 and no term of contrastive compares views; raise "
            "copies, add a term of type sequence_views, or set augment.sequence=null"
        )
    if _by_content(config) and not frozen_features(setting):
        raise no_content()


def _check_synthesis(setting: PreparedExperiment, config: SynthesisUseConfig) -> None:
    features = required_features(setting)
    if config.users is not None:
        few_click_users(setting.data.split.train, config.users.max_clicks)
    if config.items is not None:
        counts, categories = setting.data.split.train_counts, setting.data.catalog.category_matrix
        for space in wanted_spaces(config.items, features):
            oversampled_items(categories, counts, features[space].present_N, config.items.tail_share)


def _resampler(setting: PreparedExperiment, train: Sequences) -> Resampler | None:
    config = None if setting.config.augment is None else setting.config.augment.resample
    if config is None or not config.active:
        return None
    segments = None if setting.segments is None else setting.segments.labels
    categories = setting.data.catalog.category_matrix
    return build_resampler(config, train, categories, setting.config.seed, segments)


def _attach(
    items: Mapping[str, SyntheticItems], network: SequentialNetwork, config: SyntheticItemsConfig, seed: int
) -> None:
    for space, found in items.items():
        modality = network.items.modalities[space]
        assert isinstance(modality, FrozenFeatures)
        lookups = SyntheticLookups(found, modality, config.share, config.schedule, seed)
        lookups.attach(modality)


def _sequence_augmenter(
    setting: PreparedExperiment, config: SequenceAugmentConfig, guard: LeakageChecker, train: Sequences
) -> SequenceAugmenter:
    guard.check_sequences(train, "similarity of items for sequence augmentation")
    content = content_vectors(setting) if _by_content(config) else None
    return config.build(SequenceContext(train, setting.data.split.n_items, content))


def _by_content(config: SequenceAugmentConfig) -> bool:
    return any(getattr(augmenter, "by_content", False) for augmenter in config.augmenters)
