"""Chains: order, probability, counts, and draws that hang on nothing but the sample."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crossrec.augment.base import Augmented, Augmenter, Compose, RandomApply, SampleRng


class Append(Augmenter[list[str]]):
    """Adds a drawn digit to every text but empty ones."""

    def augment(self, samples: list[str], draws: SampleRng) -> Augmented[list[str]]:
        made = [
            f"{text}{generator.integers(10)}" if text else text
            for text, generator in zip(samples, draws, strict=True)
        ]
        changed = np.array([bool(text) for text in samples], dtype=bool)
        return Augmented(made, changed, {"kept": int(changed.sum()), "empty": int((~changed).sum())})


def draws(texts: list[str], seed: int = 0) -> SampleRng:
    return SampleRng(seed, ("test",), texts)


def test_links_follow_one_another_and_differ() -> None:
    texts = [f"text {i} " for i in range(50)]
    chain = Compose([RandomApply("first", Append()), RandomApply("second", Append())])
    found = chain.augment(texts, draws(texts))
    digits = [text[-2:] for text in found.samples]
    assert all(made[:-2] == text for made, text in zip(found.samples, texts, strict=True))
    # The same augmenter twice draws anew: else both digits would be equal.
    assert sum(pair[0] != pair[1] for pair in digits) > 25
    assert found.changed.all()
    assert found.counts == {"first/kept": 50, "first/empty": 0, "second/kept": 50, "second/empty": 0}


def test_probability_is_that_of_a_sample() -> None:
    texts = [f"text {i}" for i in range(400)]
    found = Compose([RandomApply("noise", Append(), 0.25)]).augment(texts, draws(texts))
    assert 60 < found.changed.sum() < 140
    assert [t for t, c in zip(found.samples, found.changed, strict=True) if not c] == [
        t for t, c in zip(texts, found.changed, strict=True) if not c
    ]
    never = Compose([RandomApply("noise", Append(), 0.0)]).augment(texts, draws(texts))
    assert never.samples == texts
    assert not never.changed.any()
    assert never.counts["noise/not_drawn"] == len(texts)


def test_an_augmenter_twice_is_counted_by_place() -> None:
    texts = ["a", "b"]
    found = Compose([RandomApply("noise", Append()), RandomApply("noise", Append(), 0.0)]).augment(
        texts, draws(texts)
    )
    assert found.counts["noise.0/kept"] == found.counts["noise.1/not_drawn"] == 2


@given(st.lists(st.text(max_size=5), max_size=8, unique=True), st.integers(0, 3), st.randoms())
def test_order_and_company_change_nothing(texts: list[str], seed: int, shuffler: random.Random) -> None:
    chain = Compose([RandomApply("a", Append(), 0.5), RandomApply("b", Append(), 0.7)])
    whole = dict(zip(texts, chain.augment(texts, draws(texts, seed)).samples, strict=True))
    mixed = list(texts)
    shuffler.shuffle(mixed)
    half = mixed[: len(mixed) // 2]
    found = chain.augment(half, draws(half, seed))
    assert found.samples == [whole[text] for text in half]


def test_no_samples_and_no_links() -> None:
    assert Compose([RandomApply("a", Append())]).augment([], draws([])).samples == []
    nothing: Compose[str] = Compose([])
    assert nothing.augment(["x"], draws(["x"])).samples == ["x"]
