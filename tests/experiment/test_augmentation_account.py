"""What a run says of its augmentation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from crossrec.augment.base import Schedule
from crossrec.experiment.augmentation import Augmentation, augmentation_lines, augmentation_report
from crossrec.model.variant_modalities import VariantChoice, VariantFeatures, VariantVectors


def test_what_text_augmenters_kept_and_dropped_is_kept_with_the_run(planted: Any) -> None:
    prepared = planted.prepared("account", None)
    views = VariantVectors(np.ones((3, 4), np.float32), np.array([0, 0, 2]))
    viewed = VariantFeatures(
        np.zeros((5, 4), np.float32),
        np.ones(5, bool),
        views,
        VariantChoice(0.5, Schedule(), 0, "text"),
        components=None,
        met={"0_paraphrase/kept": 3, "0_paraphrase/drafts/near copy": 1200},
    )
    network = cast(Any, SimpleNamespace(items=SimpleNamespace(modalities={"text": viewed})))
    made = Augmentation(cast(Any, None), None, None, None, {}, {})
    found = augmentation_report(made, network, prepared.config)
    assert found == {
        "text_views": {
            "items": 2,
            "views": 3,
            "augmenters": {"0_paraphrase/kept": 3, "0_paraphrase/drafts/near copy": 1200},
        }
    }
    (_, line) = augmentation_lines(found)
    counted = "augmenters (0 paraphrase/kept 3, 0 paraphrase/drafts/near copy 1,200)"
    assert line.strip() == f"text views: items 2, views 3, {counted}"
