"""Diversity terms against slow oracles, and lower where lists are more diverse."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.losses.terms import DIVERSITY_TERMS
from crossrec.losses.terms.adversarial import AdversarialTerm, popularity_labels
from crossrec.losses.terms.base import Term
from crossrec.losses.terms.dpp import DPPTerm
from crossrec.losses.terms.exposure import EntropyTerm, GiniTerm
from crossrec.losses.terms.item_to_user import ItemToUserTerm
from crossrec.losses.terms.jaccard import JaccardTerm
from crossrec.losses.terms.positions import PositionSample
from crossrec.losses.terms.similarity import SimilarityTerm

N, B, D, K = 14, 6, 5, 4
LIST_TERMS = {
    "similarity": SimilarityTerm.Options(space="category", k=K),
    "similarity text": SimilarityTerm.Options(space="text", k=K),
    "similarity model": SimilarityTerm.Options(space="model", k=K, detach=False),
    "jaccard": JaccardTerm.Options(k=K, candidates=N),
    "dpp": DPPTerm.Options(space="category", k=K, candidates=N),
    "dpp text": DPPTerm.Options(space="text", k=K, candidates=N),
    "dpp few": DPPTerm.Options(space="text", k=K, candidates=4),
    "dpp model": DPPTerm.Options(space="model", k=K, detach=False),
    "entropy": EntropyTerm.Options(k=K),
    "gini": GiniTerm.Options(k=K),
}
OTHERS = {"adversarial", "item_to_user"}
"""Terms without lists, tested on their own below."""


def info() -> ItemTable:
    generator = torch.Generator().manual_seed(0)
    categories = (torch.rand(N, 6, generator=generator) < 0.3).float()
    categories[3] = 0
    text = torch.randn(N, D, generator=generator)
    text[5] = 0
    return ItemTable(torch.arange(N) + 1, categories, {"text": text})


def tables(known: ItemTable) -> dict[str, Tensor]:
    return {space: known.unit(space) for space in ("category", "text")}


def sample(known: ItemTable, seed: int = 1, **changes: object) -> PositionSample:
    generator = torch.Generator().manual_seed(seed)
    fields: dict = {
        "queries_BD": torch.randn(B, D, generator=generator) * 2,
        "positives_BD": torch.randn(B, D, generator=generator),
        "targets_B": torch.tensor([0, 1, 2, 0, 4, 5]),
        "windows_B": torch.tensor([0, 0, 1, 2, 3, 4]),
        "seen_BL": torch.tensor([[0, 1, -1], [2, -1, -1], [3, 4, 5], [-1, -1, -1], [9, 9, 9], [1, 2, 13]]),
        "n_items": N,
        "items_ND": torch.randn(N, D, generator=generator),
        "tables": tables(known),
        **changes,
    }
    return PositionSample(**fields)


def pairs_oracle(soft_BN: Tensor, alike: list[list[float]], known: list[bool]) -> float:
    values = []
    for soft in soft_BN.tolist():
        pairs = [(i, j) for i, j in permutations(range(len(soft)), 2) if known[i] and known[j]]
        mass = sum(soft[i] * soft[j] for i, j in pairs)
        values.append(sum(soft[i] * soft[j] * alike[i][j] for i, j in pairs) / mass)
    return sum(values) / len(values)


def cosines(rows: Tensor) -> list[list[float]]:
    def cosine(a: list[float], b: list[float]) -> float:
        lengths = math.hypot(*a) * math.hypot(*b)
        return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0

    return [[cosine(a, b) for b in rows.tolist()] for a in rows.tolist()]


def overlaps(rows: Tensor) -> list[list[float]]:
    sets = [{g for g, member in enumerate(row) if member} for row in rows.tolist()]
    return [[len(a & b) / len(a | b) if a | b else 0.0 for b in sets] for a in sets]


def test_every_term_is_here() -> None:
    missing = (
        {*DIVERSITY_TERMS} - {DIVERSITY_TERMS.name_of(options) for options in LIST_TERMS.values()} - OTHERS
    )
    assert not missing, f"add options to LIST_TERMS for {missing}, or name it in OTHERS and test it alone"


@pytest.mark.parametrize("space", ["category", "text", "model"])
def test_similarity_is_the_mean_over_pairs(space: str) -> None:
    known = info()
    step = sample(known)
    assert step.items_ND is not None
    spaces: dict[str, Any]
    spaces = {"category": known.categories_NG, "text": known.vectors("text"), "model": step.items_ND}
    rows = spaces[space]
    value = SimilarityTerm.Options(space=space, k=K).build(known, D)(step)
    there = [any(row) for row in rows.tolist()]
    assert float(value) == pytest.approx(pairs_oracle(step.soft(K, 0.5), cosines(rows), there), abs=1e-5)


def test_jaccard_is_the_mean_over_pairs() -> None:
    known = info()
    step = sample(known)
    value = JaccardTerm.Options(k=K, candidates=50).build(known, D)(step)
    there = [any(row) for row in known.categories_NG.tolist()]
    expected = pairs_oracle(step.soft(K, 0.5), overlaps(known.categories_NG), there)
    assert float(value) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("candidates", [K, 8])
def test_dpp_is_the_log_of_the_sum_over_subsets(candidates: int) -> None:
    known = info()
    step = sample(known)
    term = DPPTerm.Options(space="text", k=K, candidates=candidates).build(known, D)
    values = []
    for soft in step.soft(K, 0.5).double().numpy():
        chosen = np.argsort(-soft)[:candidates]
        kernel = (
            np.sqrt(np.outer(soft[chosen], soft[chosen]))
            * np.array(cosines(torch.as_tensor(known.vectors("text"))))[chosen][:, chosen]
        )
        minors = [
            np.linalg.det(kernel[np.ix_(subset, subset)]) if subset else 1.0
            for subset in (
                [i for i in range(len(chosen)) if bits >> i & 1] for bits in range(2 ** len(chosen))
            )
        ]
        values.append(-math.log(sum(minors)) / K)
    assert float(term(step)) == pytest.approx(np.mean(values), abs=1e-5)


def test_entropy_and_gini_are_those_of_mean_exposure() -> None:
    known = info()
    step = sample(known)
    exposure = step.soft(K, 0.5).double().sum(0).tolist()
    shares = [e / sum(exposure) for e in exposure]
    entropy = -sum(s * math.log(s) for s in shares if s > 0) / math.log(N)
    gini = sum(abs(a - b) for a in shares for b in shares) / (2 * N)
    assert float(EntropyTerm.Options(k=K).build(known, D)(step)) == pytest.approx(-entropy, abs=1e-5)
    assert float(GiniTerm.Options(k=K).build(known, D)(step)) == pytest.approx(gini, abs=1e-5)


def test_item_to_user_is_a_softmax_over_queries() -> None:
    known = info()
    step = sample(known)
    value = ItemToUserTerm.Options().build(known, D)(step)
    losses = []
    for i in range(B):
        own = float(step.queries_BD[i] @ step.positives_BD[i])
        others = [
            float(step.queries_BD[j] @ step.positives_BD[i])
            for j in range(B)
            if step.windows_B[j] != step.windows_B[i] and step.targets_B[j] != step.targets_B[i]
        ]
        losses.append(math.log(sum(math.exp(x) for x in [own, *others])) - own)
    assert float(value) == pytest.approx(sum(losses) / B, rel=1e-5)


def test_adversary_is_a_cross_entropy_over_labelled_positions() -> None:
    known = info()
    step = sample(known, targets_B=torch.tensor([0, 1, 2, 3, 4, 5]))
    for of in ("target", "history"):
        term = AdversarialTerm.Options(hidden=8, of=of, reversal=2.0).build(known, D)
        losses = []
        for row in range(B):
            items = (
                [int(step.targets_B[row])]
                if of == "target"
                else [i for i in step.seen_BL[row].tolist() if i >= 0]
            )
            wanted = sum((term.labels_NC[i] for i in items), torch.zeros(6))
            if wanted.sum() > 0:
                log_p = term.predict(step.queries_BD[row : row + 1]).log_softmax(1)[0]
                losses.append(-float((wanted / wanted.sum() * log_p).sum().detach()))
        assert len(losses) < B
        assert float(term(step).detach()) == pytest.approx(np.mean(losses), rel=1e-5)


def test_reversal_turns_the_models_gradient_only() -> None:
    known = info()
    gradients = {}
    for reversal in (1e-3, 2.0):
        torch.manual_seed(0)
        term = AdversarialTerm.Options(hidden=8, of="target", reversal=reversal).build(known, D)
        step = sample(known)
        step.queries_BD.requires_grad_()
        term(step).backward()
        gradients[reversal] = (step.queries_BD.grad, term.discriminator[0].weight.grad)
    torch.testing.assert_close(gradients[2.0][0], 2000 * gradients[1e-3][0])
    torch.testing.assert_close(gradients[2.0][1], gradients[1e-3][1])
    plain = torch.randn(B, D, generator=torch.Generator().manual_seed(1)).mul_(2).requires_grad_()
    wanted = term.labels(sample(known))
    there = wanted.sum(1) > 0
    torch.nn.functional.cross_entropy(term.predict(plain)[there], wanted[there]).backward()
    torch.testing.assert_close(gradients[2.0][0], -2 * plain.grad)


@pytest.mark.parametrize("name", LIST_TERMS)
def test_a_step_down_the_gradient_makes_hard_lists_more_diverse_in_the_terms_own_measure(name: str) -> None:
    known = info()
    term: Term = LIST_TERMS[name].build(known, D)
    step = sample(known)
    queries = step.queries_BD.clone().requires_grad_()
    before = term(sample(known, queries_BD=queries))
    assert before.dtype == torch.float32
    (gradient,) = torch.autograd.grad(before, queries)
    before = before.detach()
    assert float(before) >= term.lowest
    assert gradient.abs().max() > 0
    after = term(sample(known, queries_BD=queries.detach() - 0.05 * gradient / gradient.norm()))
    assert float(after) < float(before)


@pytest.mark.parametrize("name", [name for name in LIST_TERMS if "model" not in name])
def test_gradients_of_terms_are_those_of_finite_differences(name: str) -> None:
    known = info()
    double = {space: table.double() for space, table in tables(known).items()}
    term = LIST_TERMS[name].build(known, D)
    step = sample(known)
    assert step.items_ND is not None
    items = step.items_ND.double()

    def value(queries: Tensor) -> Tensor:
        return term(sample(known, queries_BD=queries, items_ND=items, tables=double))

    queries = step.queries_BD.double().requires_grad_()
    assert torch.autograd.gradcheck(value, (queries,), atol=1e-5, eps=1e-7)


@pytest.mark.parametrize("name", ["similarity", "jaccard", "dpp", "dpp few", "entropy", "gini"])
def test_planted_lists_of_one_kind_cost_more_than_mixed_ones(name: str) -> None:
    kinds = torch.arange(N) % 3
    categories = torch.nn.functional.one_hot(kinds, 3).float()
    planted = ItemTable(torch.ones(N), categories, {"text": categories})
    term = LIST_TERMS[name].build(planted, D)
    alike = torch.where(kinds == 0, 9.0, 0.0).expand(B, N)
    mixed = torch.stack([torch.where((torch.arange(N) + 2 * b) % N < K, 9.0, 0.0) for b in range(B)])
    values = [
        float(term(sample(planted, queries_BD=logits, items_ND=torch.eye(N), exclude_seen=False)))
        for logits in (alike, mixed)
    ]
    assert values[1] < values[0] - 0.05


def test_detached_model_space_moves_scores_only() -> None:
    known = info()
    gradients = []
    for detach in (True, False):
        step = sample(known, queries_BD=torch.zeros(B, D))
        assert step.items_ND is not None
        step.items_ND.requires_grad_()
        SimilarityTerm.Options(space="model", k=K, detach=detach).build(known, D)(step).backward()
        gradients.append(float(step.items_ND.grad.abs().max()))
    # Scores of queries of zeros do not depend on item vectors.
    assert gradients[0] == 0 < gradients[1]


def test_seen_items_and_items_that_are_not_drawn_stay_out_of_lists() -> None:
    known = info()
    whole = sample(known)
    assert whole.items_ND is not None
    soft_BN = whole.soft(K, 0.5)
    for row, seen in enumerate(whole.seen_BL.tolist()):
        out = {i for i in seen if i >= 0}
        assert set((soft_BN[row] == 0).nonzero().flatten().tolist()) >= out
        assert soft_BN[row].sum() == pytest.approx(K, rel=1e-4)
    drawn = torch.tensor([1, 2, 4, 5, 7, 8, 11, 13])
    part = sample(known, items_ND=whole.items_ND[drawn], numbers_N=drawn)
    assert part.soft(K, 0.5).shape == (B, 8)
    assert part.soft(K, 0.5)[0, 0] == 0  # item 1, which query 0 has seen
    assert part.soft(K, 0.5)[2, [2, 3]].eq(0).all()
    assert torch.equal(part.space("text"), known.unit("text")[drawn])


@pytest.mark.parametrize("space", ["category", "text", "model"])
@pytest.mark.parametrize("drawn", [None, [1, 2, 4, 5, 7, 8, 11, 13]])
def test_vectors_at_places_are_those_of_the_whole_space(space: str, drawn: list[int] | None) -> None:
    known = info()
    step = sample(known)
    if drawn is not None:
        assert step.items_ND is not None
        step = sample(known, items_ND=step.items_ND[drawn], numbers_N=torch.tensor(drawn))
    _, places_BM = step.top(K, 0.5, 6)
    assert places_BM.shape == (B, 6)
    torch.testing.assert_close(step.at_places(space, places_BM), step.space(space)[places_BM])


def test_popularity_buckets_hold_about_the_same_number_of_clicks() -> None:
    counts = torch.cat([torch.full((90,), 1.0), torch.full((9,), 10.0), torch.tensor([90.0])])
    labels = popularity_labels(ItemTable(counts, torch.zeros(100, 0)), 3)
    assert (labels * counts[:, None]).sum(0).tolist() == [90, 90, 90]
    assert labels[99].tolist() == [0, 0, 1]
