"""Encoders tuned on co-clicks: pairs, loss, batches, a planted signal, the cache, and no leak."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.encoders import adaptation
from crossrec.encoders.adaptation import (
    AdaptOptions,
    ItemInputs,
    adapt,
    batches_of_partners,
    co_clicks,
    contrastive_loss,
    tuning_key,
)
from crossrec.encoders.base import EncoderPrecision, Tuning
from crossrec.encoders.text import TextEncoder
from crossrec.types import InputError, Sequences

GROUPS = (("dog", "tax", "red"), ("puppy", "law", "shirt"), ("blue", "shoe", "linen"))
"""Words of items that are clicked together; only clicks say so."""
FILLERS = ("the", "of wool", "for winter", "with")
TEXTS = [f"a {word} {filler}" for filler in FILLERS for group in GROUPS for word in group]
GROUP = np.asarray([group for _ in FILLERS for group in range(3) for _ in range(3)])
COLD = np.arange(len(TEXTS)) >= 27
"""Items of the last filler, which nobody clicked."""
OPTIONS = AdaptOptions(epochs=2, lr=1e-2, batch_size=18)


def shoppers(n_users: int = 60) -> Sequences:
    """Users who stay in one group."""
    rng = np.random.default_rng(0)
    known = [np.flatnonzero((group == GROUP) & ~COLD) for group in range(3)]
    return Sequences.from_lists([rng.permutation(known[user % 3])[:5].tolist() for user in range(n_users)])


def encoder_of(folder: Path, training: Tuning = Tuning.LORA) -> TextEncoder:
    torch.manual_seed(0)
    options = TextEncoder.Options(
        weights=str(folder), max_tokens=12, training=training, precision=EncoderPrecision.FP32
    )
    found: TextEncoder = options.build(folder)
    return found


def inputs_of(encoder: TextEncoder, texts: list[str] = TEXTS) -> ItemInputs:
    ids = np.asarray([f"i{row}" for row in range(len(texts))])
    present = np.ones(len(texts), dtype=bool)
    return ItemInputs(ids, texts, present, lambda rows: encoder.tokenize([texts[row] for row in rows]))


def tuned(
    folder: Path,
    cache: Path,
    train: Sequences,
    training: Tuning = Tuning.LORA,
    negatives: int = OPTIONS.negatives,
    epochs: int = 2,
) -> TextEncoder:
    encoder = encoder_of(folder, training)
    rates = {Tuning.LORA: 1e-2, Tuning.FINETUNE: 1e-3}
    options = AdaptOptions(epochs=epochs, lr=rates[training], batch_size=18, negatives=negatives)
    adapt(encoder, options, inputs_of(encoder), train, cache, name="text")
    return encoder


def separation(encoder: TextEncoder, rows: np.ndarray) -> float:
    """Mean cosine of the rows with known items of their group, minus that with known items of others."""
    vectors = encoder.encode(TEXTS)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit[rows] @ unit[~COLD].T
    same = GROUP[rows][:, None] == GROUP[~COLD]
    # An item with the same word, or itself, is near without any clicks.
    word = np.asarray([text.split()[1] for text in TEXTS])
    other_word = word[rows][:, None] != word[~COLD]
    return float(cosines[same & other_word].mean() - cosines[~same].mean())


def test_pairs_are_clicks_of_one_user_within_the_window() -> None:
    train = Sequences.from_lists([[0, 1, 2], [2, 0, 0], [3]])
    present = np.asarray([True, True, True, True])
    near = co_clicks(train, present, 1).toarray()
    expected = np.zeros((4, 4))
    for first, second in ((0, 1), (1, 2), (2, 0)):
        expected[first, second] += 1
        expected[second, first] += 1
    np.testing.assert_array_equal(near, expected)
    expected[0, 2] += 2  # two apart: once in the first row, once in the second
    expected[2, 0] += 2
    np.testing.assert_array_equal(co_clicks(train, present, 5).toarray(), expected)
    hidden = co_clicks(train, np.asarray([True, False, True, True]), 1)
    assert set(hidden.tocoo().row.tolist()) == {0, 2}


def test_each_positive_competes_with_the_negatives_alone() -> None:
    logits = torch.tensor([[9.0, 1.0, 0.5, -1.0], [1.0, 9.0, 0.0, 2.0]])
    counts = torch.tensor([[0.0, 3.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    negative = torch.tensor([[False, False, False, True], [True, False, True, True]])
    by_hand = 0.75 * np.log1p(np.exp(-1.0 - 1.0)) + 0.25 * np.log1p(np.exp(-1.0 - 0.5))
    assert float(contrastive_loss(logits, counts, negative)) == pytest.approx(by_hand, abs=1e-6)


def test_an_epoch_has_each_item_once_often_beside_its_partners() -> None:
    train = Sequences.from_lists([[2 * i, 2 * i + 1] for i in range(40)])
    pairs = co_clicks(train, np.ones(80, bool), 1)
    batches = list(batches_of_partners(pairs, 10, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [10] * 8
    assert sorted(np.concatenate(batches).tolist()) == list(range(80))
    assert all(set((batch ^ 1).tolist()) == set(batch.tolist()) for batch in batches)


@pytest.mark.parametrize(
    ("training", "negatives"), [(Tuning.LORA, 8192), (Tuning.LORA, 9), (Tuning.FINETUNE, 8192)]
)
def test_texts_that_are_clicked_together_come_together_and_new_ones_beside_them(
    tiny_bert: Path, tmp_path: Path, training: Tuning, negatives: int
) -> None:
    plain, found = (
        encoder_of(tiny_bert),
        tuned(tiny_bert, tmp_path, shoppers(), training, negatives, epochs=30),
    )
    for rows in (np.flatnonzero(~COLD), np.flatnonzero(COLD)):
        assert abs(separation(plain, rows)) < 0.1
        assert separation(found, rows) > 0.3
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_it_is_tuned_once_for_the_same_inputs_in_any_order(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = shoppers()
    first = tuned(tiny_bert, tmp_path, train)
    assert tuned(tiny_bert, tmp_path / "elsewhere", train).identity == first.identity
    monkeypatch.setattr(adaptation, "_tune", lambda *_: pytest.fail("tuned again"))
    assert tuned(tiny_bert, tmp_path, train).identity == first.identity
    order = np.random.default_rng(1).permutation(len(TEXTS))
    place = np.argsort(order)
    encoder = encoder_of(tiny_bert)
    inputs = inputs_of(encoder)
    moved = replace(inputs, item_ids=inputs.item_ids[order], keys=[TEXTS[row] for row in order])
    adapt(encoder, OPTIONS, moved, replace(train, items=place[train.items]), tmp_path, name="text")
    assert encoder.identity == first.identity


def test_its_key_depends_on_all_that_it_is_made_from(tiny_bert: Path) -> None:
    encoder, train = encoder_of(tiny_bert), shoppers()
    inputs = inputs_of(encoder)
    keys = [
        tuning_key(encoder, OPTIONS, inputs, train),
        tuning_key(encoder_of(tiny_bert, Tuning.FINETUNE), OPTIONS, inputs, train),
        tuning_key(encoder, OPTIONS.model_copy(update={"seed": 1}), inputs, train),
        tuning_key(encoder, OPTIONS.model_copy(update={"window": 1}), inputs, train),
        tuning_key(encoder, OPTIONS, replace(inputs, keys=["other", *TEXTS[1:]]), train),
        tuning_key(encoder, OPTIONS, inputs, train.tail(4)),
    ]
    assert len(set(keys)) == len(keys)
    with torch.no_grad():
        next(encoder.parameters()).add_(1)
    assert tuning_key(encoder, OPTIONS, inputs, train) not in keys


def test_damaged_weights_are_made_again(tiny_bert: Path, tmp_path: Path) -> None:
    first = tuned(tiny_bert, tmp_path, shoppers())
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-4])
    assert tuned(tiny_bert, tmp_path, shoppers()).identity == first.identity


def test_without_common_clicks_there_is_nothing_to_tune_on(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"modalities\.text\.adapt: no user has .* set adapt=null"):
        tuned(tiny_bert, tmp_path, Sequences.from_lists([[0], [1]]))
