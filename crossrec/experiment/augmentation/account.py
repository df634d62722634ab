"""What is said of a fit's augmentation: lines of the plan, counts for ``data.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossrec.experiment.augmentation.assembly import Augmentation
from crossrec.model.variant_modalities import VariantEncoder, VariantFeatures

if TYPE_CHECKING:
    from crossrec.experiment.config import ExperimentConfig
    from crossrec.model.network import SequentialNetwork


def augmentation_account(
    augmentation: Augmentation, network: SequentialNetwork, config: ExperimentConfig
) -> dict[str, Any]:
    """Counts of everything that was made, empty where nothing is augmented.

    Rows are those of the fullest epoch, which is made for it, so that what a source can't do shows
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
    """The account as lines for a reader; none where nothing is augmented."""
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
