"""Words as weights, and content-based scores, against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from crossrec.baselines.content import ContentBased, bm25, centred_unit, term_counts, tfidf
from crossrec.data.item_table import ItemTable, VectorSpace
from crossrec.types import InputError, Sequences

TEXTS = ["red apple, red", "green apple", "blue sky", "", "apple of the sky"]


def words() -> ItemTable:
    return ItemTable.of_size(5, texts=lambda rows: [TEXTS[row] for row in rows])


def test_counts_keep_words_of_enough_items() -> None:
    counts = term_counts(TEXTS, min_items=2).toarray()
    np.testing.assert_array_equal(counts, [[1, 0], [1, 0], [0, 1], [0, 0], [1, 1]])
    assert term_counts(TEXTS, min_items=1).toarray().sum() == 3 + 2 + 2 + 4


def test_tfidf_by_hand() -> None:
    weights = tfidf(term_counts(TEXTS, min_items=2)).toarray()
    apple, sky = np.log(6 / 4) + 1, np.log(6 / 3) + 1
    both = np.array([apple, sky]) / np.hypot(apple, sky)
    np.testing.assert_allclose(weights, [[1, 0], [1, 0], [0, 1], [0, 0], both])


def test_bm25_by_hand() -> None:
    counts = csr_matrix(np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]]))
    found = bm25(counts, k1=1.5, b=0.5).toarray()
    length = np.array([2, 2, 3]) / (7 / 3)
    for text in range(3):
        for word in range(2):
            often = counts[text, word]
            rarity = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
            expected = rarity * often * 2.5 / (often + 1.5 * (0.5 + 0.5 * length[text]))
            assert found[text, word] == pytest.approx(expected)


def test_a_history_is_the_decayed_mean_of_its_texts() -> None:
    scores = ContentBased.Options(space="tfidf", recency=0.5).build(words()).fit(Sequences.from_lists([[0]]))
    found = scores.score(Sequences.from_lists([[2, 1]])).numpy()[0]
    items = tfidf(term_counts(TEXTS, min_items=2)).toarray()
    expected = items @ (0.5 * items[2] + items[1]) / 1.5
    np.testing.assert_allclose(found[[0, 1, 2, 4]], expected[[0, 1, 2, 4]], rtol=1e-5)
    assert np.isneginf(found[3])


def test_vectors_are_compared_about_their_mean() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(5, 3)) + 100).astype(np.float32)
    present = np.array([True, True, True, True, False])
    context = ItemTable.of_size(5, spaces={"image": VectorSpace(vectors, present)})
    found = ContentBased.Options(space="image").build(context).fit(Sequences.from_lists([[0]]))
    centred = vectors[:4].astype(np.float64) - vectors[:4].astype(np.float64).mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    scores = found.score(Sequences.from_lists([[1]]))[0]
    np.testing.assert_allclose(scores[:4].numpy(), unit @ unit[1], atol=1e-4)
    assert torch.isneginf(scores[4])


def test_a_history_without_content_gets_an_empty_list() -> None:
    fitted = ContentBased.Options(space="tfidf").build(words()).fit(Sequences.from_lists([[0]]))
    assert (fitted.recommend(Sequences.from_lists([[], [3]]), 3).ids == -1).all()


def test_unit_vectors_of_nothing_are_zeros() -> None:
    nothing = VectorSpace(np.ones((2, 3), np.float32), np.zeros(2, bool))
    assert not centred_unit(ItemTable.of_size(2, spaces={"text": nothing}), "text", "test").any()


def test_what_is_missing_is_named_with_what_there_is() -> None:
    context = ItemTable.of_size(2, spaces={"text": VectorSpace(np.ones((2, 1)), np.ones(2, bool))})
    with pytest.raises(InputError, match="needs item vectors in the space 'image'; there are text"):
        ContentBased.Options(space="image").build(context)
