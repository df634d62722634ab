"""What a study of generators learns from: training items and users alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossrec.studies.synthesis import SynthesisConfig, vectors
from crossrec.types import InputError


def study(**changes: Any) -> SynthesisConfig:
    return SynthesisConfig(base=Path("shop.yaml"), **changes)


def test_items_are_those_with_a_training_click_and_features(planted: Any) -> None:
    prepared = planted.prepared("material", None)
    found = vectors(prepared, "text", study(components=4))
    known = (prepared.data.split.train_counts > 0) & (np.arange(planted.n) != 3)
    assert found.samples.shape == (known.sum(), 4)
    assert found.classes.argmax(1).tolist() == (np.flatnonzero(known) % 5).tolist()
    with pytest.raises(InputError, match=r"image needs model\.image"):
        vectors(prepared, "image", study())


def test_profiles_of_features_narrower_than_asked_for(planted: Any) -> None:
    prepared = planted.prepared("material", None)
    found = vectors(prepared, "profile", study())
    users = np.flatnonzero(prepared.data.split.train.lengths >= 2)
    assert len(found.samples) == len(users)
    assert found.samples.shape[1] <= planted.width
    assert found.class_names == tuple(f"kind {kind}" for kind in range(5))
    first = np.bincount(prepared.data.split.train.row(int(users[0])) % 5, minlength=5)
    assert first[found.classes[0].argmax()] == first.max()


def test_profiles_may_have_their_segment_for_a_class(planted: Any) -> None:
    plain = planted.prepared("material", None)
    with pytest.raises(InputError, match="add it, or set classes to categories"):
        vectors(plain, "profile", study(classes="segments"))
    prepared = planted.prepared("material", None, segments={"users": 3, "items": 4})
    found = vectors(prepared, "profile", study(classes="segments"))
    users = np.flatnonzero(prepared.data.split.train.lengths >= 2)
    assert found.classes.argmax(1).tolist() == prepared.segments.labels[users].tolist()
    assert vectors(prepared, "text", study(classes="segments")).classes.shape[1] == 4
