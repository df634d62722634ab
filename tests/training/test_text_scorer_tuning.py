"""Tuning of a text scorer: what it learns from words, its negatives, and resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.model.text_scorer import TextScorer
from crossrec.training.text_scorer import PROGRESS, Examples, sample_examples, tune
from crossrec.types import ABSENT, InputError, Sequences, TopK

KINDS = ("shirt", "shoe", "hat", "coat", "bag")
MATERIALS = ("wool", "linen", "silk", "new", "old")
COLORS = ("red", "blue")
TITLES = [f"{color} {material} {kind}" for color in COLORS for material in MATERIALS for kind in KINDS]
N = len(TITLES)
HELD = np.arange(0, N, 5)
"""Items that no training click names."""


def of_color(rng: np.random.Generator, color: int, items: np.ndarray, size: int) -> list[int]:
    own = items[(items >= N // 2) == bool(color)]
    return [int(item) for item in rng.choice(own, size)]


def shoppers(seed: int, users: int, length: int, items: np.ndarray) -> Sequences:
    """Histories of one color each: the items themselves are drawn at random."""
    rng = np.random.default_rng(seed)
    return Sequences.from_lists([of_color(rng, user % 2, items, length) for user in range(users)])


class Blind:
    """A first stage that offers the same items to everybody."""

    n_items = N

    def fit(self, train: Sequences) -> Blind:
        raise NotImplementedError

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        raise NotImplementedError

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        ids = np.tile(np.arange(0, N, 3)[:k], (len(histories), 1))
        return TopK(ids, -ids.astype(np.float32))


def scorer_of(folder: Path, cache: Path, titles: list[str] = TITLES, **changes: Any) -> TextScorer:
    content = {
        "weights": str(folder),
        "prompt": "the shopper viewed : {history} . next : {item} ? Answer :",
        "history": 3,
        "precision": "fp32",
        "lora": None,
        "candidates": 10,
        "steps": 30,
        "batch_size": 16,
        "negatives": 4,
        "lr": 0.01,
        **changes,
    }
    scorer: TextScorer = TextScorer.Options.model_validate(content).build(titles, 4, cache)
    return scorer


def sample(scorer: TextScorer, train: Sequences, seed: int = 0) -> Examples:
    counts = np.bincount(train.items, minlength=N)
    return sample_examples(train, Blind(), scorer, counts, exclude_seen=True, seed=seed)


def accuracy(scorer: TextScorer) -> float:
    """Share of new histories in which a new item of their color is above one of the other."""
    histories = shoppers(9, 100, 3, np.setdiff1d(np.arange(N), HELD))
    rng = np.random.default_rng(0)
    pairs = np.array(
        [[*of_color(rng, user % 2, HELD, 1), *of_color(rng, 1 - user % 2, HELD, 1)] for user in range(100)]
    )
    scores = scorer.score(histories, pairs)
    return float((scores[:, 0] > scores[:, 1]).float().mean())


def test_words_tell_what_ids_cannot(reading_llama: Path, tmp_path: Path) -> None:
    scorer = scorer_of(reading_llama, tmp_path)
    train = shoppers(1, 200, 6, np.setdiff1d(np.arange(N), HELD))
    assert accuracy(scorer) < 0.75
    loss = tune(scorer, sample(scorer, train), None, tmp_path / "run", seed=0, checkpoint_every=1000)
    assert loss < 1.2  # 1.61 by chance, about 1 for who knows the color alone
    assert accuracy(scorer) > 0.95


def test_negatives_are_candidates_and_popular_items_with_titles(reading_llama: Path, tmp_path: Path) -> None:
    titles = [*TITLES]
    titles[3] = titles[7] = ""
    scorer = scorer_of(reading_llama, tmp_path, titles, steps=20, negatives=6)
    train = shoppers(2, 40, 5, np.arange(40))
    found = sample(scorer, train)
    assert len(found) == len(found.histories) == 320
    clicks = {(tuple(train.row(u)[:e]), train.row(u)[e]) for u in range(40) for e in range(1, 5)}
    offered = set(range(0, 30, 3))
    n_hard = []
    for row, candidates in enumerate(found.candidates_EK):
        history = found.histories.row(row)
        assert (tuple(history), candidates[0]) in clicks
        negatives = candidates[1:]
        assert len(set(candidates.tolist())) == 7
        assert not set(negatives.tolist()) & {*history.tolist(), 3, 7, ABSENT}
        assert (negatives < 40).all()  # items with a training click, or of the first stage
        n_hard.append(len(set(negatives[:3].tolist()) & offered))
    assert n_hard == [3] * 320
    assert (sample(scorer, train).candidates_EK == found.candidates_EK).all()
    assert (sample(scorer, train, seed=1).candidates_EK != found.candidates_EK).any()
    rows = {(tuple(found.histories.row(r)), c) for r, c in enumerate(found.candidates_EK[:, 0].tolist())}
    assert len(rows) > 100  # each click once before any comes again


def test_a_log_without_titles_is_rejected(reading_llama: Path, tmp_path: Path) -> None:
    scorer = scorer_of(reading_llama, tmp_path, [*TITLES[:1], *[""] * (N - 1)])
    with pytest.raises(InputError, match=r"no training click on an item with a title \('title'\) follows"):
        sample(scorer, Sequences.from_lists([[0, 1, 2], [5, 0]]))
    assert (sample(scorer, Sequences.from_lists([[0, 4, 0], []])).candidates_EK[:, 0] == 0).all()


def test_a_killed_tuning_repeats_an_unbroken_one(
    reading_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = shoppers(1, 40, 6, np.arange(N))
    changes: dict[str, Any] = {"steps": 6, "batch_size": 4, "lora": {"r": 2, "dropout": 0.2}}

    def tuned(folder: str, stop: int | None = None) -> TextScorer:
        scorer = scorer_of(reading_llama, tmp_path, **changes)

        def write(step: int, loss: float) -> None:
            if step == stop:
                raise KeyboardInterrupt

        examples = sample(scorer, train)
        tune(scorer, examples, None, tmp_path / folder, seed=0, checkpoint_every=2, write=write)
        return scorer

    whole = tuned("whole")
    with pytest.raises(KeyboardInterrupt):
        tuned("killed", stop=5)
    assert (tmp_path / "killed" / PROGRESS).exists()
    steps: list[int] = []
    scorer = scorer_of(reading_llama, tmp_path, **changes)
    tune(
        scorer,
        sample(scorer, train),
        None,
        tmp_path / "killed",
        seed=0,
        checkpoint_every=2,
        write=lambda step, loss: steps.append(step),
    )
    assert steps == [5, 6]
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(scorer.get_parameter(name), parameter, rtol=0, atol=1e-6, msg=name)
    start = scorer_of(reading_llama, tmp_path, **changes)
    assert any((start.get_parameter(n) - p).abs().max() > 1e-4 for n, p in whole.named_parameters())


def test_a_loss_that_is_not_finite_stops_the_tuning(reading_llama: Path, tmp_path: Path) -> None:
    scorer = scorer_of(reading_llama, tmp_path, steps=2)
    examples = sample(scorer, shoppers(1, 40, 6, np.arange(N)))
    with torch.no_grad():
        assert scorer.answer is not None
        scorer.answer.fill_(torch.nan)
    with pytest.raises(InputError, match=r"the loss is nan at step 1.*lower text_scorer.lr"):
        tune(scorer, examples, None, tmp_path / "run", seed=0, checkpoint_every=10)
