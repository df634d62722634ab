"""The text scorer: prompts, cached prefixes against plain reading, missing titles, options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from crossrec.model import text_scorer
from crossrec.model.text_scored import TextScoredRecommender, mixed
from crossrec.model.text_scorer import TextScorer
from crossrec.types import ABSENT, InputError, Sequences, TopK

TITLES = [
    "red shirt",
    "blue shoe",
    "",
    "red wool hat",
    "new blue silk coat",
    "old bag",
    "  ",
    "linen shirt",
]
PROMPT = "the shopper viewed : {history} . next : {item} ? Answer :"
HISTORIES = Sequences.from_lists([[0, 1, 3, 4], [5], [2, 6], [], [7, 2, 0]])
CANDIDATES = np.array(
    [[5, 7, 1, 2], [0, 1, 3, 4], [0, 1, 3, 5], [0, 1, 3, 5], [4, ABSENT, 6, 3]], dtype=np.int64
)
WIDTH = 6


def options(folder: Path, **changes: Any) -> TextScorer.Options:
    return TextScorer.Options(
        **{"weights": str(folder), "prompt": PROMPT, "history": 3, "precision": "fp32", **changes}
    )


def scorer_of(folder: Path, cache: Path, titles: list[str] = TITLES, **changes: Any) -> TextScorer:
    scorer: TextScorer = options(folder, **changes).build(titles, WIDTH, cache)
    with torch.no_grad():  # adapters start at zero
        generator = torch.Generator().manual_seed(1)
        for parameter in scorer.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return scorer


def read_alone(scorer: TextScorer, folder: Path, history: list[int], item: int) -> float:
    """The score by one pass of transformers' own model over one text, without cache, mask or batch."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    head = AutoModelForCausalLM.from_pretrained(folder).get_output_embeddings().weight
    listed = " ; ".join(TITLES[i] for i in history)
    before = f"the shopper viewed : {listed} . next :"
    text = f"{before} {TITLES[item]}" + (" ? Answer :" if scorer.options.score == "yes_no" else "")
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = scorer.decoder(inputs_embeds=scorer.words(ids)).last_hidden_state[0]
        if scorer.answer is not None:
            return float(states[-1] @ scorer.answer)
        first = len(tokenizer(before)["input_ids"])
        logs = (states @ head.T).log_softmax(-1)
        return float(torch.stack([logs[n - 1, ids[0, n]] for n in range(first, ids.shape[1])]).mean())


@pytest.mark.parametrize("score", ["yes_no", "title"])
@pytest.mark.parametrize("lora", [{"r": 2}, None])
def test_scores_behind_a_cached_prefix_are_those_of_each_text_read_alone(
    reading_llama: Path, tmp_path: Path, score: str, lora: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = scorer_of(reading_llama, tmp_path, score=score, lora=lora)
    # In order of the rows, without what has no title; only the last three titles are read.
    read = [[1, 3, 4], [5], [], [], [7, 0]]
    expected = np.full(CANDIDATES.shape, np.nan)
    for row, history in enumerate(read):
        for column, item in enumerate(CANDIDATES[row]):
            if history and item != ABSENT and TITLES[item].strip():
                expected[row, column] = read_alone(scorer, reading_llama, history, item)
    assert np.isfinite(expected).sum() == 3 + 4 + 2
    np.testing.assert_allclose(scorer.score(HISTORIES, CANDIDATES).numpy(), expected, atol=2e-5)
    # Small groups and batches of one history change nothing.
    monkeypatch.setattr(text_scorer, "GROUP", 2)
    monkeypatch.setattr(text_scorer, "TOKENS", {"cpu": 1})
    monkeypatch.setattr(text_scorer, "LOGITS", 1)
    np.testing.assert_allclose(scorer.score(HISTORIES, CANDIDATES).numpy(), expected, atol=2e-5)


def test_candidates_do_not_see_each_other(reading_llama: Path, tmp_path: Path) -> None:
    scorer = scorer_of(reading_llama, tmp_path)
    history = Sequences.from_lists([[0, 3]])
    together = scorer.score(history, np.array([[1, 4, 5, 7]]))[0]
    apart = [scorer.score(history, np.array([[item]]))[0, 0] for item in (1, 4, 5, 7)]
    torch.testing.assert_close(together, torch.stack(apart))
    assert together.std() > 1e-3


def test_gradients_reach_the_adapters_through_the_cached_prefix(reading_llama: Path, tmp_path: Path) -> None:
    scorer = scorer_of(reading_llama, tmp_path, item_tokens=True)
    vectors = torch.randn(len(TITLES), WIDTH, generator=torch.Generator().manual_seed(0))
    scorer(HISTORIES, CANDIDATES, vectors).nansum().backward()
    trained = {name: p for name, p in scorer.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained.values())
    assert any("lora_A" in name for name in trained)
    assert {"answer", "soft.map.weight"} < set(trained)
    assert all("lora" in name for name in trained if name.startswith("decoder"))


def test_soft_tokens_carry_the_item_vectors(reading_llama: Path, tmp_path: Path) -> None:
    scorer = scorer_of(reading_llama, tmp_path, titles=["red shirt"] * 4, item_tokens=True)
    history, candidates = Sequences.from_lists([[0]]), np.array([[1, 2, 3]])
    vectors = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(0))
    vectors[2] = vectors[1]
    found = scorer.score(history, candidates, vectors)[0]
    assert found[0] == pytest.approx(float(found[1]), abs=1e-5)
    assert abs(found[0] - found[2]) > 1e-3
    with pytest.raises(ValueError, match="reads item vectors"):
        scorer.score(history, candidates)


def test_bf16_scores_are_near_those_of_fp32(reading_llama: Path, tmp_path: Path) -> None:
    exact = scorer_of(reading_llama, tmp_path).score(HISTORIES, CANDIDATES)
    rough = scorer_of(reading_llama, tmp_path, precision="bf16").score(HISTORIES, CANDIDATES)
    assert (exact.isnan() == rough.isnan()).all()
    gaps = (exact - rough).abs().nan_to_num()
    assert 0 < gaps.max() < 0.1 * exact.nan_to_num().abs().max() + 0.1


def test_titles_are_cut_and_can_be_replaced(reading_llama: Path, tmp_path: Path) -> None:
    scorer = scorer_of(reading_llama, tmp_path, title_tokens=2)
    assert scorer.titles.lengths.tolist() == [2, 2, 0, 2, 2, 2, 0, 2]
    assert scorer.has_title.tolist() == [bool(title.strip()) for title in TITLES]
    scorer.set_titles([*TITLES, "hat"])
    assert len(scorer.has_title) == 9
    assert np.isfinite(scorer.score(Sequences.from_lists([[8]]), np.array([[8, 0]])).numpy()).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": 40}, r"text_scorer.history: prompts of 40 titles have up to \d+ tokens.*128 positions"),
        ({"layers": 3}, "text_scorer.layers=3, but the decoder has only 2 layers"),
        ({"answers": ("yes", "yes")}, "begin with the same token"),
        ({"answers": ("unheard", "unseen")}, "begin with the same token"),
    ],
)
def test_options_that_do_not_fit_the_decoder_are_rejected(
    reading_llama: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    options(reading_llama).check(tmp_path)
    with pytest.raises(InputError, match=message):
        options(reading_llama, **changes).check(tmp_path)


@pytest.mark.parametrize("prompt", ["{item} after {history}", "{history}", "{history} {history} {item}"])
def test_a_prompt_without_its_places_is_rejected(prompt: str) -> None:
    with pytest.raises(ValidationError, match=r"prompt needs {history} once and {item} once behind it"):
        TextScorer.Options(prompt=prompt)


class First:
    """A first stage that ranks items by their index."""

    n_items = len(TITLES)

    def fit(self, train: Sequences) -> First:
        raise NotImplementedError

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        everything = np.tile(np.arange(self.n_items), (len(histories), 1))
        return -torch.from_numpy(everything if candidates is None else candidates).float()

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        ids = np.full((len(histories), k), ABSENT)
        for row in range(len(histories)):
            seen = set() if exclude is None else set(exclude.row(row).tolist())
            left = [item for item in range(self.n_items) if item not in seen][:k]
            ids[row, : len(left)] = left
        return TopK(ids, np.where(ids == ABSENT, -np.inf, -ids).astype(np.float32))


def test_the_recommender_mixes_scores_and_leaves_items_without_titles_alone(
    reading_llama: Path, tmp_path: Path
) -> None:
    scorer = scorer_of(reading_llama, tmp_path, candidates=5)
    scorer.mix_weight.fill_(3.0)
    scorer.center.fill_(0.25)
    whole = TextScoredRecommender(First(), scorer, lambda: torch.zeros(0), "scored")
    lists = whole.recommend(HISTORIES, 3)
    scores = whole.score(HISTORIES).numpy()
    text = scorer.score(HISTORIES, np.tile(np.arange(8), (5, 1))).numpy()
    expected = np.where(np.isnan(text), 0, 3 * (text - 0.25)) - np.arange(8)
    assert (scores[:, 5:] == -np.inf).all()
    np.testing.assert_allclose(scores[:, :5], expected[:, :5], atol=1e-4)
    assert (lists.ids == np.argsort(-scores, axis=1, kind="stable")[:, :3]).all()
    np.testing.assert_allclose(lists.scores, -np.sort(-scores, axis=1)[:, :3], atol=1e-5)
    assert scores[0, 2] == -2  # no title
    assert lists.ids[2].tolist() == lists.ids[3].tolist() == [0, 1, 2]  # no title in the history
    assert lists.ids[0].tolist() != [0, 1, 2]
    given = whole.score(HISTORIES, np.tile([[7, 2]], (5, 1))).numpy()
    np.testing.assert_allclose(given, expected[:, [7, 2]], atol=1e-4)
    # In longer lists, the others follow in their own order; they are not read.
    long = whole.recommend(HISTORIES, 7)
    assert (long.ids[:, :3] == lists.ids).all()
    assert (long.ids[:, 5:] == [5, 6]).all()
    assert (np.diff(long.scores, axis=1) <= 1e-6).all()
    # Seen items are left out, short lists end in ABSENT.
    unseen = whole.recommend(HISTORIES, 8, HISTORIES)
    assert sorted(unseen.ids[0]) == [ABSENT] * 4 + [2, 5, 6, 7]
    assert (unseen.scores[0, 4:] == -np.inf).all()
    scorer.mix_weight.fill_(0.0)
    assert (whole.recommend(HISTORIES, 3).ids == [0, 1, 2]).all()


def test_mixed_scores_equal_the_first_where_there_is_no_text_score() -> None:
    found = mixed(np.array([[1.0, 2.0]], np.float32), np.array([[np.nan, 5.0]]), 2.0, 4.0)
    assert found.tolist() == [[1.0, 4.0]]
