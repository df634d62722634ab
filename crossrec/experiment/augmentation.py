"""Augmentation of one fit: checks, construction, report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crossrec.augment.base import Schedule
from crossrec.augment.generators.application import (
    SynthesisUseConfig,
    SyntheticItems,
    SyntheticItemsConfig,
    SyntheticUsers,
    few_click_users,
    oversampled_items,
)
from crossrec.augment.guard import LeakageChecker
from crossrec.augment.resample import Resampler, build_resampler
from crossrec.augment.sequences.base import SequenceAugmenter, SequenceContext, stack_rows
from crossrec.augment.sequences.compose import SequenceAugmentConfig
from crossrec.data.item_table import CONTENT, ItemTable
from crossrec.data.neighbours import no_content
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment, content_vectors, frozen_features
from crossrec.experiment.synthesis import Synthesis, SyntheticLookups, required_features, wanted_spaces
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.network import SequentialNetwork
from crossrec.model.variant_modalities import VariantEncoder, VariantFeatures
from crossrec.training.epochs import AugmentedCopies, EpochSequences, EpochSource, LogRows
from crossrec.training.windows import ViewMaker
from crossrec.types import InputError, Sequences

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Augmentation:
    """Training data of a fit besides the training log.

    Args:
        source: checked source of each epoch's rows.
        views: maker of two views of each history; None if no loss compares them.
        resampler: sampler of users; None if each user comes once.
        users: synthetic users; None for none.
        items: synthetic items by modality, attached to the network.
        quality: quality metrics of the generators.
    """

    source: EpochSource
    views: ViewMaker | None
    resampler: Resampler | None
    users: SyntheticUsers | None
    items: Mapping[str, SyntheticItems]
    quality: Mapping[str, Any]


def build_augmentation(
    prepared: PreparedExperiment, network: SequentialNetwork, train: Sequences, accelerator: Accelerator
) -> Augmentation:
    """Check the training clicks against the split and build all augmentation, on every process.

    Synthetic items are attached to the network.

    Raises:
        DataLeakageError: if validation or test data would be trained on.
        InputError: if data or model lack something that the augmentation needs.
    """
    guard = check_fit(prepared, train)
    config, seed, epochs = prepared.config, prepared.config.seed, prepared.config.trainer.epochs
    augment = config.augment
    resampler = _resampler(prepared, train)
    source: EpochSource = LogRows(train, None if resampler is None else resampler.rows)
    users, items, quality = None, {}, {}
    if augment is not None and augment.synthesis is not None:
        wanted = augment.synthesis
        synthesis = Synthesis(prepared, train, guard, accelerator, wanted)
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
        augmenter = _sequence_augmenter(prepared, augment.sequence, guard, train)
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
    return Augmentation(CheckedRows(source, guard, train), views, resampler, users, items, quality)


def check_fit(prepared: PreparedExperiment, train: Sequences) -> LeakageChecker:
    """Compare the inputs of a fit with the training split.

    Raises:
        DataLeakageError: if a click, a count or a cut differs from the training split.
    """
    data = prepared.data
    guard = LeakageChecker(data.split, data.catalog.item_ids, data.clicks.user_ids)
    guard.check_split()
    guard.check_sequences(train, "the training")
    guard.check_counts(data.split.train_counts, "popularity (for negatives, balance, views)")
    return guard


def check_augmentation(prepared: PreparedExperiment) -> None:
    """Check, before anything is written, that data and model have what the augmentation needs.

    Raises:
        InputError: if something is missing; the message names the key and the fix.
    """
    _resampler(prepared, prepared.data.split.train)
    augment = prepared.config.augment
    if augment is None:
        return
    if augment.sequence is not None:
        _check_sequence(prepared, augment.sequence)
    if augment.synthesis is not None:
        _check_synthesis(prepared, augment.synthesis)


def _check_sequence(prepared: PreparedExperiment, config: SequenceAugmentConfig) -> None:
    contrastive = prepared.config.contrastive
    if config.copies == 0 and (contrastive is None or not contrastive.needs_views):
        raise InputError(
            "augment.sequence does nothing: copies is 0 and no term of contrastive compares views; raise "
            "copies, add a term of type sequence_views, or set augment.sequence=null"
        )
    if _by_content(config) and not frozen_features(prepared):
        raise no_content()


def _check_synthesis(prepared: PreparedExperiment, config: SynthesisUseConfig) -> None:
    features = required_features(prepared)
    if config.users is not None:
        few_click_users(prepared.data.split.train, config.users.max_clicks)
    if config.items is not None:
        counts, categories = prepared.data.split.train_counts, prepared.data.catalog.category_matrix
        for space in wanted_spaces(config.items, features):
            oversampled_items(categories, counts, features[space].present_N, config.items.tail_share)


def _resampler(prepared: PreparedExperiment, train: Sequences) -> Resampler | None:
    config = None if prepared.config.augment is None else prepared.config.augment.resample
    if config is None or not config.active:
        return None
    segments = None if prepared.segments is None else prepared.segments.labels
    categories = prepared.data.catalog.category_matrix
    return build_resampler(config, train, categories, prepared.config.seed, segments)


def _attach(
    items: Mapping[str, SyntheticItems], network: SequentialNetwork, config: SyntheticItemsConfig, seed: int
) -> None:
    for space, found in items.items():
        modality = network.items.modalities[space]
        assert isinstance(modality, FrozenFeatures)
        lookups = SyntheticLookups(found, modality, config.share, config.schedule, seed)
        lookups.attach(modality)


def _sequence_augmenter(
    prepared: PreparedExperiment, config: SequenceAugmentConfig, guard: LeakageChecker, train: Sequences
) -> SequenceAugmenter:
    guard.check_sequences(train, "similarity of items for sequence augmentation")
    content = content_vectors(prepared) if _by_content(config) else None
    spaces = None if content is None else {CONTENT: content}
    return config.build(SequenceContext(train, ItemTable(prepared.data.split.train_counts, spaces=spaces)))


def _by_content(config: SequenceAugmentConfig) -> bool:
    return any(getattr(augmenter, "by_content", False) for augmenter in config.augmenters)


class WithSyntheticUsers:
    """Source of rows with synthetic users appended, marked as augmented.

    Args:
        source: source of the other rows.
        users: synthetic users, the same in every epoch.
        schedule: share of them in each epoch.
        epochs: number of epochs of the training.
        n_rows: rows of the training log; synthetic users are numbered from there on.
    """

    def __init__(
        self, source: EpochSource, users: SyntheticUsers, *, schedule: Schedule, epochs: int, n_rows: int
    ) -> None:
        self.source = source
        self.users = users
        self.schedule = schedule
        self.epochs = epochs
        self.n_rows = n_rows

    def epoch(self, epoch: int) -> EpochSequences:
        """Return the source's rows and the marked synthetic ones."""
        own, added = self.source.epoch(epoch), self.users.first(self._strength(epoch))
        if not len(added):
            return own
        return EpochSequences(
            stack_rows([own.sequences, added]),
            np.concatenate([own.users_B, self.n_rows + np.arange(len(added))]),
            np.concatenate([own.augmented_B, np.ones(len(added), dtype=bool)]),
        )

    def size(self, epoch: int) -> float:
        """Return the source's size plus the ratio of synthetic to real users."""
        added = len(self.users.rows) * self._strength(epoch)
        return self.source.size(epoch) + added / max(self.users.n_training, 1)

    def _strength(self, epoch: int) -> float:
        return self.schedule.at(epoch / max(self.epochs, 1))


class CheckedRows:
    """Source of rows that checks each epoch for leakage.

    Args:
        source: source of the rows.
        guard: guard of the split.
        checked: the training log, checked already; an epoch that is the log itself is not checked again.
    """

    def __init__(self, source: EpochSource, guard: LeakageChecker, checked: Sequences) -> None:
        self.source = source
        self.guard = guard
        self.checked = checked

    def epoch(self, epoch: int) -> EpochSequences:
        """Return the source's rows, checked.

        Raises:
            DataLeakageError: if a row has an item without a training click, or is neither marked as augmented
                nor a user's own.
        """
        rows = self.source.epoch(epoch)
        if rows.sequences is self.checked:
            return rows
        own = np.flatnonzero(~rows.augmented_B)
        self.guard.check_rows(rows.sequences.take(own), rows.users_B[own], f"the rows of epoch {epoch}")
        self.guard.check_augmented(rows.sequences, f"the rows of epoch {epoch}")
        return rows

    def size(self, epoch: int) -> float:
        """Return the source's size."""
        return self.source.size(epoch)


def augmentation_report(
    augmentation: Augmentation, network: SequentialNetwork, config: ExperimentConfig
) -> dict[str, Any]:
    """Return counts of all augmented data; empty without augmentation.

    Rows are counted in the largest epoch, which is built for the report, so that errors of a source occur
    before the training.
    """
    found: dict[str, Any] = {}
    for name, modality in network.items.modalities.items():
        if isinstance(modality, VariantFeatures | VariantEncoder):
            counts = modality.counts
            views = {"items": int((counts > 0).sum()), "views": int(counts.sum())}
            found[f"{name}_views"] = {**views, "augmenters": modality.met} if modality.met else views
    for space, items in augmentation.items.items():
        found[f"synthetic_{space}_items"] = {
            "synthetic": True,
            "enlarged_items": len(items.items),
            "count": items.count,
            "ratio_to_training_items": round(items.count / items.n_training, 4),
        }
    if augmentation.users is not None:
        users = augmentation.users
        found["synthetic_users"] = {
            "synthetic": True,
            "count": len(users.rows),
            "clicks": len(users.rows.items),
            "ratio_to_training_users": round(len(users.rows) / users.n_training, 4),
        }
    if augmentation.quality:
        found["generators"] = dict(augmentation.quality)
    if (
        augmentation.resampler is not None
        and config.augment is not None
        and config.augment.resample is not None
    ):
        expected = augmentation.resampler.expected_U
        found["resample"] = {
            "by": list(config.augment.resample.active),
            "most_repeats": round(float(expected.max()), 3),
            "least_repeats": round(float(expected[augmentation.resampler.weights_U > 0].min()), 3),
        }
    if _changes_rows(augmentation, config):
        found["rows"] = _rows(augmentation, config.trainer.epochs)
    return found


def _changes_rows(augmentation: Augmentation, config: ExperimentConfig) -> bool:
    copied = config.augment is not None and config.augment.sequence is not None
    return copied or augmentation.users is not None or augmentation.resampler is not None


def _rows(augmentation: Augmentation, epochs: int) -> dict[str, int]:
    fullest = max(range(max(epochs, 1)), key=augmentation.source.size)
    rows = augmentation.source.epoch(fullest)
    lengths, marked = rows.sequences.lengths, rows.augmented_B
    return {
        "of_epoch": fullest,
        "own": int((~marked).sum()),
        "own_clicks": int(lengths[~marked].sum()),
        "augmented": int(marked.sum()),
        "augmented_clicks": int(lengths[marked].sum()),
    }


def augmentation_lines(account: dict[str, Any]) -> list[str]:
    """Format the report as lines; none without augmentation."""
    if not account:
        return []
    lines = ["Augmentation of the training part (evaluation sees none of it):"]
    for name, content in account.items():
        if name == "generators":
            for what, quality in content.items():
                lines.append(f"  generator of {what}: {_figures(quality)}")
        else:
            lines.append(f"  {name.replace('_', ' ')}: {_figures(content)}")
    return lines


def _figures(content: dict[str, Any]) -> str:
    shown = [
        f"{name.replace('_', ' ')} ({_figures(value)})" if isinstance(value, dict) else
        f"{name.replace('_', ' ')} {value:,.3g}" if isinstance(value, float) else
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else
        f"{name.replace('_', ' ')} {', '.join(map(str, value))}"
        for name, value in content.items()
        if value is not None and value != [] and not isinstance(value, bool)
    ]  # fmt: skip
    return ", ".join(shown)
