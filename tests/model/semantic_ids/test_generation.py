"""Generation under the trie: a beam, all items and candidates agree; cold and added items are reached."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.model.growth import append_items
from crossrec.model.modalities.base import ContentVectors
from crossrec.model.semantic_ids.network import GenerativeNetwork
from crossrec.model.semantic_ids.recommender import GenerativeRecommender, recommender_of
from crossrec.runtime.ranking.selection import top_k
from crossrec.training.checkpoint import load_trained_state, save_state
from crossrec.types import ABSENT, InputError, Sequences

N, D, W = 50, 16, 6
Build = Callable[..., GenerativeNetwork]
HISTORIES = Sequences.from_lists([[1, 2, 3], [44], [9, 8, 30, 21, 1], [7, 14]])


@torch.no_grad()
def reference(network: GenerativeNetwork, histories: Sequences) -> np.ndarray:
    """(B, N) scores, item by item and code by code, with loops over the items of each prefix."""
    recommender = GenerativeRecommender(network)
    states, vectors = recommender.states(histories), recommender.item_vectors() * D**-0.5
    paths = [tuple(row) for row in network.ids.codes.tolist()]
    trained = [bool(known) for known in network.ids.trained]
    scores = np.zeros((len(states), len(paths)))

    @cache
    def logit(prefix: tuple[int, ...], code: int) -> torch.Tensor:
        codes = torch.tensor([prefix] * len(states), dtype=torch.long).view(len(states), len(prefix))
        last = network.decoder.states(states, codes)[:, -1]
        found = network.decoder.logits(len(prefix), last)[:, code]
        if not network.prefix_vectors:
            return found
        below = [i for i, path in enumerate(paths) if path[: len(prefix) + 1] == (*prefix, code)]
        known = [i for i in below if trained[i]]
        return found + last @ vectors[known or below[:1]].mean(0)

    for item, path in enumerate(paths):
        for level in range(len(path)):
            known = {p[level] for p, t in zip(paths, trained, strict=True) if t and p[:level] == path[:level]}
            if not known:
                break
            total = torch.stack([logit(path[:level], code) for code in sorted(known)]).logsumexp(0)
            scores[:, item] += (logit(path[:level], path[level]) - total).numpy()
    return scores


@pytest.mark.parametrize(("codes", "levels", "vectors"), [(4, 2, True), (2, 3, False), (64, 1, True)])
def test_scores_are_the_products_of_the_codes(
    build: Build, counts: np.ndarray, codes: int, levels: int, vectors: bool
) -> None:
    network = build(counts, codes, levels, prefix_vectors=vectors)
    recommender = GenerativeRecommender(network)
    found = recommender.score(HISTORIES)
    np.testing.assert_allclose(found, reference(network, HISTORIES), atol=2e-5)
    candidates = np.asarray([[3, 49, ABSENT], [0, 0, 7], [48, 5, 10], [ABSENT, 1, 2]])
    some = recommender.score(HISTORIES, candidates)
    wanted = torch.where(
        torch.from_numpy(candidates) == ABSENT,
        -torch.inf,
        found.gather(1, torch.from_numpy(np.maximum(candidates, 0))),
    )
    torch.testing.assert_close(some, wanted, atol=2e-5, rtol=0)


def test_probabilities_of_trained_items_sum_to_one(build: Build, counts: np.ndarray) -> None:
    found = GenerativeRecommender(build(counts)).score(HISTORIES)
    sums = found[:, torch.from_numpy(counts > 0)].exp().sum(1)
    torch.testing.assert_close(sums, torch.ones(4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("exclude", [None, HISTORIES])
def test_a_wide_beam_finds_the_best_of_all_items(
    build: Build, counts: np.ndarray, exclude: Sequences | None
) -> None:
    recommender = GenerativeRecommender(build(counts, beam=50))
    scores = recommender.score(HISTORIES)
    if exclude is not None:
        for row in range(len(exclude)):
            scores[row, torch.from_numpy(exclude.row(row))] = -torch.inf
    best = top_k(scores, 12)
    found = recommender.recommend(HISTORIES, 12, exclude)
    np.testing.assert_array_equal(found.ids, best.ids)
    np.testing.assert_allclose(found.scores, best.scores, atol=2e-5)


def test_a_narrow_beam_keeps_the_best_prefix_and_fills_its_lists(build: Build, counts: np.ndarray) -> None:
    network = build(counts, beam=1)
    recommender = GenerativeRecommender(network)
    scores = recommender.score(HISTORIES)
    narrow = recommender.recommend(HISTORIES, 1)
    np.testing.assert_allclose(narrow.scores[:, 0], scores.numpy()[np.arange(4), narrow.ids[:, 0]], atol=2e-5)
    states = recommender.states(HISTORIES)
    first = network.expand(0, states, torch.zeros(4, dtype=torch.long), recommender.nodes)
    for row in range(4):
        own = first[0] == row
        code = network.trie.depths[1].paths_PD[first[1][own][first[2][own].argmax()], 0]
        assert int(network.ids.codes[narrow.ids[row, 0], 0]) == int(code)
    # More than the best prefix holds: the beam is widened.
    everything = recommender.recommend(HISTORIES, N)
    assert (np.sort(everything.ids, 1) == np.arange(N)).all()


def test_an_empty_history_scores_nothing(build: Build, counts: np.ndarray) -> None:
    recommender = GenerativeRecommender(build(counts))
    histories = Sequences.from_lists([[], [1, 2, 3]])
    scores = recommender.score(histories)
    assert not scores[0].any()
    torch.testing.assert_close(scores[1:], recommender.score(HISTORIES)[:1])
    found = recommender.recommend(histories, 3, Sequences.from_lists([[1], [0]]))
    assert found.ids[0].tolist() == [0, 2, 3]
    assert ABSENT not in found.ids


def test_losses_are_the_scores_of_the_targets(build: Build, counts: np.ndarray) -> None:
    network = build(counts).eval()
    recommender = GenerativeRecommender(network)
    states, targets = recommender.states(HISTORIES), torch.tensor([1, 44, 21, 3])
    scores = recommender.score(HISTORIES)
    known = torch.from_numpy(np.flatnonzero(counts))
    losses = network.losses(states, targets, network.item_vectors(known), known)
    torch.testing.assert_close(losses, -scores[torch.arange(4), targets], atol=2e-5, rtol=0)


def test_added_items_can_be_generated_and_change_no_score(build: Build, counts: np.ndarray) -> None:
    network = build(counts)
    recommender = recommender_of(network)
    assert isinstance(recommender, GenerativeRecommender)
    before = recommender.score(HISTORIES)
    text = network.items.modalities["text"]
    twin, fresh = text.raw(np.asarray([16])), 50 * np.ones((1, W), np.float32)
    content = ContentVectors(np.ones(2, bool), np.concatenate([twin, fresh]))
    append_items(network, {"text": content}, 2)
    after = recommender.score(HISTORIES)
    torch.testing.assert_close(after[:, :N], before)
    assert network.ids.codes[N, :2].tolist() == network.ids.codes[16, :2].tolist()
    lists = recommender.recommend(HISTORIES, N + 2)
    assert (np.sort(lists.ids, 1) == np.arange(N + 2)).all()
    again = recommender.score(Sequences.from_lists([[N, N + 1]]))
    assert again.isfinite().all(), "an added item can be in a history"


def test_saved_and_loaded(build: Build, counts: np.ndarray, tmp_path: Path) -> None:
    network, other = build(counts), build(counts[::-1].copy())
    scores = GenerativeRecommender(network).score(HISTORIES)
    assert not torch.allclose(GenerativeRecommender(other).score(HISTORIES), scores)
    path = tmp_path / "model.safetensors"
    save_state(network, path)
    later = build(counts)
    with torch.no_grad():
        for parameter in later.parameters():
            parameter.add_(1)
    load_trained_state(later, path)
    torch.testing.assert_close(GenerativeRecommender(later).score(HISTORIES), scores)


def test_queries_are_refused(build: Build, counts: np.ndarray) -> None:
    with pytest.raises(InputError, match="no query vectors"):
        GenerativeRecommender(build(counts)).queries(HISTORIES)
