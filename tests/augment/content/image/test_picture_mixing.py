"""Mixing with pictures of other items: how much of a partner shows, and who may be one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from crossrec.augment.base import SampleRng
from crossrec.augment.content.image import ImageAugmenterOptions
from crossrec.augment.content.image.base import ImageOutcome, Partners
from crossrec.types import InputError

KEYS = [f"picture-{i}" for i in range(6)]
PICTURES = [Image.new("RGB", (40 + i, 30), (40 * i, 90, 200 - 20 * i)) for i in range(6)]


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_mixed_picture_is_mostly_the_item_s_own(name: str) -> None:
    black, white = Image.new("L", (50, 40), 0), Image.new("L", (60, 30), 255)
    pair = Partners(["a", "b"], [["shoe"], ["shoe"]], lambda place: (black, white)[place])
    config = TypeAdapter(ImageAugmenterOptions).validate_python({"type": name, "alpha": 1.0})
    augmenter = config.build(pair)
    of_partner = []
    for view in range(200):
        after = augmenter.augment([black], SampleRng(0, ("view", view), ["a"])).samples[0]
        of_partner.append(np.asarray(after).mean() / 255)
        if name == "mixup":
            assert np.ptp(np.asarray(after)) == 0
        else:
            assert set(np.unique(np.asarray(after))) <= {0, 255}
    assert max(of_partner) <= 0.503  # a rounded grey
    assert max(of_partner) > 0.4
    # A share that is even on [0, 1] is even on [0, .5] once its smaller side is taken.
    if name == "mixup":
        assert np.mean(of_partner) == pytest.approx(0.25, abs=0.03)


def test_partners_are_of_the_smallest_shared_category() -> None:
    asked: list[int] = []

    def load(place: int) -> Image.Image:
        asked.append(place)
        return PICTURES[place]

    categories = [["home", "lamp"], ["home", "lamp"], ["home"], ["home", "rug"], [], ["lamp", "home"]]
    pool = Partners(KEYS, categories, load)
    assert len(pool) == 5
    for seed in range(30):
        pool.draw(KEYS[0], np.random.default_rng(seed))
    assert set(asked) == {1, 5}
    asked.clear()
    for seed in range(60):
        pool.draw(KEYS[3], np.random.default_rng(seed))
    assert set(asked) == {0, 1, 2, 5}  # the only rug looks for partners in the whole home
    order = [5, 2, 0, 4, 1, 3]
    shuffled = Partners([KEYS[i] for i in order], [categories[i] for i in order], load)
    assert shuffled.identity == pool.identity != Partners(KEYS[:5], categories[:5], load).identity


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_no_partner(name: str) -> None:
    def broken(place: int) -> Image.Image:
        raise OSError("truncated")

    config = TypeAdapter(ImageAugmenterOptions).validate_python({"type": name})
    lonely = Partners(KEYS[:3], [["shoe"], ["shoe"], ["hat"]], broken)
    result = config.build(lonely).augment(PICTURES[:3], SampleRng(0, ("view", 0), KEYS[:3]))
    assert result.counts == {ImageOutcome.NO_PARTNER: 3}  # two can't be read, the hat is alone
    assert all(a is b for a, b in zip(result.samples, PICTURES[:3], strict=True))
    for nothing in (None, Partners(["a", "b"], [["shoe"], ["hat"]], broken)):
        with pytest.raises(InputError, match="no category has pictures of two training items"):
            config.build(nothing)
