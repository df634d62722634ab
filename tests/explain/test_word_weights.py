"""What the words of a text add to a score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.encoders.base import EncoderPrecision, Tuning
from crossrec.encoders.text import TextEncoder
from crossrec.explain.explanation import Unavailable, Word
from crossrec.explain.score import Pair
from crossrec.explain.words import WORD, TextInput, merged, scores_with_words, token_spans, word_weights
from crossrec.types import InputError, Sequences

TEXT = "the red shirts of wool-linen, for winter."


@pytest.fixture(scope="module")
def encoder(tiny_bert: Path) -> TextEncoder:
    return TextEncoder.Options(weights=str(tiny_bert), max_tokens=16, precision=EncoderPrecision.FP32).build(
        tiny_bert
    )


@pytest.fixture(scope="module")
def bag_of_words(tiny_bert: Path) -> TextEncoder:
    """An encoder without layers in which all words are alike but wool."""
    made = TextEncoder.Options(weights=str(tiny_bert), max_tokens=16, precision=EncoderPrecision.FP32).build(
        tiny_bert
    )
    backbone: Any = made.backbone
    backbone.encoder.layer = torch.nn.ModuleList()
    with torch.no_grad():
        table = backbone.get_input_embeddings().weight
        table[:] = table[0].clone()
        table[made.tokenizer.get_vocab()["wool"]] = torch.randn(32) * 3
    return made


def read(encoder: TextEncoder, text: str = TEXT) -> TextInput:
    direction = torch.randn(32, generator=torch.Generator().manual_seed(3))
    return TextInput(encoder, text, lambda raw_BW: raw_BW @ direction)


def test_the_one_word_that_decides_is_named(bag_of_words: TextEncoder) -> None:
    found = word_weights(read(bag_of_words))
    weights = {word.text: abs(word.weight) for word in found.words}
    assert max(weights, key=weights.__getitem__) == "wool-linen"
    assert all(weight < 1e-6 for word, weight in weights.items() if word != "wool-linen")
    assert abs(found.rest) < 1e-5
    kept = np.asarray([[True] * len(found.words), [word.text != "wool-linen" for word in found.words]])
    whole, without = scores_with_words(read(bag_of_words), found.words, kept)
    assert abs(whole - without) > 0.1


def test_integrated_gradients_over_tokens_are_complete(encoder: TextEncoder) -> None:
    question = read(encoder)
    found = word_weights(question)
    total = sum(word.weight for word in found.words) + found.rest
    assert abs(found.completeness.gap) <= 0.02 * abs(found.completeness.difference) + 1e-3
    assert total == pytest.approx(found.completeness.difference + found.completeness.gap, rel=1e-4, abs=1e-4)
    # The baseline: the same number of padding tokens between the tokenizer's own.
    tokens = encoder.tokenize([TEXT])
    blank = tokens["input_ids"].clone()
    blank[0, 1:-1] = 0
    with torch.no_grad():
        baseline = question.raw_scores(encoder(blank, tokens["attention_mask"]))
    assert found.completeness.difference == pytest.approx(
        float(question.scores([TEXT])[0] - baseline), abs=1e-4
    )


def test_words_stand_where_they_say(encoder: TextEncoder) -> None:
    found = word_weights(read(encoder))
    assert [word.text for word in found.words] == [
        "the",
        "red",
        "shirts",
        "of",
        "wool-linen",
        "for",
        "winter",
    ]
    assert all(TEXT[word.start : word.end] == word.text for word in found.words)
    assert not found.cut


def test_a_text_that_is_too_long_is_cut(encoder: TextEncoder) -> None:
    text = " ".join(["wool"] * 40)
    found = word_weights(read(encoder, text))
    assert found.cut
    assert len(found.words) == 14  # 16 tokens, two of which are the tokenizer's own


def test_tokens_join_the_word_they_overlap_most() -> None:
    text = "red, wool-linen"
    spans = [(0, 0), (0, 3), (3, 4), (5, 9), (9, 10), (10, 15), (0, 0)]
    words = merged(text, spans, np.asarray([9.0, 1, 9, 2, 4, 8, 9]))
    assert words == (Word("red", 0, 3, 1.0), Word("wool-linen", 5, 15, 14.0))
    assert merged("?!", [(0, 1), (1, 2)], np.ones(2)) == ()


def test_what_a_word_is() -> None:
    assert WORD.findall("Don't buy 3 T-shirts_now -- 红色abc裙子") == [
        *("Don't", "buy", "3", "T-shirts", "now"),
        *("红", "色", "abc", "裙", "子"),
    ]


def test_spans_fit_the_tokens(encoder: TextEncoder) -> None:
    assert len(token_spans(encoder, TEXT)) == encoder.tokenize([TEXT])["input_ids"].shape[1]


def test_the_encoder_is_left_as_it_was(encoder: TextEncoder) -> None:
    table = encoder.backbone.get_input_embeddings()
    before = encoder.encode([TEXT])
    word_weights(read(encoder))
    assert encoder.backbone.get_input_embeddings() is table
    np.testing.assert_array_equal(encoder.encode([TEXT]), before)


@pytest.mark.parametrize("training", list(Tuning))
def test_through_the_whole_model(make_shop: Callable[..., Any], training: Tuning) -> None:
    shop = make_shop(text={"training": training})
    pair = Pair.of(shop.recommender, Sequences.from_lists([[1, 2, 3]]), 5)
    question = TextInput.of(pair, shop.content)
    assert question.scores([question.text])[0] == pytest.approx(pair.score, rel=1e-2, abs=1e-2)
    found = word_weights(question)
    assert abs(found.completeness.gap) <= 0.02 * abs(found.completeness.difference) + 1e-2
    assert max(abs(word.weight) for word in found.words) > 0


def test_a_text_that_changed_is_an_error(shop: Any) -> None:
    pair = Pair.of(shop.recommender, Sequences.from_lists([[1, 2, 3]]), 5)

    class Changed:
        item_ids = shop.content.catalog.item_ids

        def texts(self, rows: np.ndarray, column: str) -> list[str]:
            return ["blue shoe"]

    content = type(shop.content)(Changed(), shop.content.config, shop.content.cache_dir)
    with pytest.raises(InputError, match="text of item 'p5' gives another feature"):
        TextInput.of(pair, content)
    bare = Pair.of(shop.recommender, Sequences.from_lists([[1, 2, 3]]), 23)
    with pytest.raises(Unavailable, match="item 'p23' has no text"):
        TextInput.of(bare, shop.content)
