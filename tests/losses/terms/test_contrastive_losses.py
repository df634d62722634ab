"""InfoNCE against explicit loops, its gradient, and what terms leave out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from crossrec.losses.terms import CONTRASTIVE_TERMS, ContrastiveTermOptions
from crossrec.losses.terms.base import ItemSample, Term, TermInputs, ViewSample
from crossrec.losses.terms.info_nce import CrossModalTerm, SequenceViewsTerm
from crossrec.losses.terms.term_set import ContrastiveTerms
from crossrec.losses.terms.weighting import RANKING


def of_sequences(temperature: float) -> SequenceViewsTerm:
    term: SequenceViewsTerm = SequenceViewsTerm.Options(temperature=temperature).build()
    return term


def of_modalities(temperature: float) -> CrossModalTerm:
    term: CrossModalTerm = CrossModalTerm.Options(temperature=temperature, items=10).build()
    return term


def views(n: int = 6, users: list[int] | None = None) -> ViewSample:
    torch.manual_seed(0)
    first, second = torch.randn(n, 5, requires_grad=True), torch.randn(n, 5, requires_grad=True)
    return ViewSample(first, second, torch.tensor(users or list(range(n))))


def items(n: int = 7, modalities: int = 3) -> ItemSample:
    torch.manual_seed(1)
    present = torch.rand(n, modalities) < 0.7
    present[:2] = True
    return ItemSample(torch.randn(n, modalities, 5, requires_grad=True), present)


def of_views(sample: ViewSample, temperature: float) -> Tensor:
    """CL4SRec's equation 3, one view at a time."""
    rows = [*sample.first_BD, *sample.second_BD]
    users = sample.users_B.tolist() * 2
    n = len(sample.first_BD)
    losses = []
    for place, row in enumerate(rows):
        positive = (place + n) % (2 * n)
        against = [positive] + [other for other in range(2 * n) if users[other] != users[place]]
        logits = torch.stack([F.cosine_similarity(row, rows[other], dim=0) for other in against])
        losses.append(F.cross_entropy(logits[None] / temperature, torch.tensor([0])))
    return torch.stack(losses).mean()


def of_items(sample: ItemSample, temperature: float) -> Tensor:
    found = []
    n_modalities = sample.present_KM.shape[1]
    for one in range(n_modalities):
        for other in range(one + 1, n_modalities):
            both = [k for k, row in enumerate(sample.present_KM.tolist()) if row[one] and row[other]]
            if len(both) < 2:
                continue
            directions = []
            for a, b in ((one, other), (other, one)):
                for place, k in enumerate(both):
                    logits = [
                        F.cosine_similarity(sample.features_KMD[k, a], sample.features_KMD[j, b], dim=0)
                        for j in both
                    ]
                    loss = F.cross_entropy(torch.stack(logits)[None] / temperature, torch.tensor([place]))
                    directions.append(loss)
            found.append(torch.stack(directions).mean())
    return torch.stack(found).mean()


@pytest.mark.parametrize("name", [*CONTRASTIVE_TERMS])
def test_a_step_down_the_gradient_lowers_every_term(name: str) -> None:
    term: Term = CONTRASTIVE_TERMS.parse({"type": name}).build()
    samples: dict[str, Callable[[], Any]] = {"views": views, "items": items}
    part = samples[term.sees]()
    vectors = [value for value in vars(part).values() if value.requires_grad]
    before = term(part)
    assert before.shape == ()
    assert before.dtype == torch.float32
    assert float(before.detach()) >= term.lowest
    gradients = torch.autograd.grad(before, vectors)
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in gradients)
    with torch.no_grad():
        for vector, gradient in zip(vectors, gradients, strict=True):
            vector -= 0.01 * gradient
        assert float(term(part)) < float(before)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("users", [[0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 2, 2]])
def test_sequence_views_are_the_plain_formula(users: list[int], temperature: float) -> None:
    sample = views(users=users)
    ours = of_sequences(temperature)(sample)
    theirs = of_views(sample, temperature)
    # Largest difference measured: 2e-7 in the value, 1e-7 in the gradient.
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    inputs = (sample.first_BD, sample.second_BD)
    for a, b in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("modalities", [2, 3])
def test_cross_modal_is_the_plain_formula(modalities: int) -> None:
    sample = items(modalities=modalities)
    ours = of_modalities(0.2)(sample)
    theirs = of_items(sample, 0.2)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    (a,) = torch.autograd.grad(ours, sample.features_KMD)
    (b,) = torch.autograd.grad(theirs, sample.features_KMD)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_missing_modality_changes_nothing_and_gets_no_gradient() -> None:
    sample = items()
    term = of_modalities(0.2)
    loss = term(sample)
    (gradient,) = torch.autograd.grad(loss, sample.features_KMD)
    assert not gradient[~sample.present_KM].any()
    assert gradient[sample.present_KM].any()
    other = sample.features_KMD.detach().clone()
    other[~sample.present_KM] = 1e4
    torch.testing.assert_close(term(ItemSample(other, sample.present_KM)), loss.detach())


def test_equal_views_cost_least_and_mixed_up_ones_most() -> None:
    sample = views(8)
    same = ViewSample(sample.first_BD, sample.first_BD, sample.users_B)
    mixed = ViewSample(sample.first_BD, sample.first_BD.roll(1, 0), sample.users_B)
    term = of_sequences(0.1)
    low, chance, high = (term(v) for v in (same, sample, mixed))
    assert low < chance < high
    # Vectors that are all alike can't be told apart: 1 positive among 2 B - 1.
    alike = ViewSample(torch.ones(8, 5), torch.ones(8, 5), sample.users_B)
    assert float(term(alike)) == pytest.approx(math.log(15), abs=1e-5)


@pytest.mark.parametrize("users", [[0], [4, 4, 4]])
def test_one_user_alone_has_nothing_to_be_told_from(users: list[int]) -> None:
    sample = views(len(users), users)
    loss = of_sequences(0.1)(sample)
    (gradient,) = torch.autograd.grad(loss, sample.first_BD)
    assert float(loss) == 0
    assert not gradient.any()


def test_items_with_no_two_modalities_have_nothing_to_be_told_by() -> None:
    sample = ItemSample(torch.randn(4, 2, 3), torch.tensor([[True, False]] * 4))
    assert float(of_modalities(0.1)(sample)) == 0


def test_terms_by_name_weigh_a_click_s_loss_and_only_where_they_are_on() -> None:
    config = ContrastiveTerms.Options.model_validate(
        {
            "terms": {
                "views": {"type": "sequence_views", "weight": 0.5},
                "modal": {"type": "cross_modal", "weight": 0},
            },
            "weighting": {"type": "schedule", "start": 0.2, "end": 0.6},
        }
    )
    terms = config.build()
    sample = TermInputs(views=views(), items=items())
    values = terms(sample, 0.4)
    assert values["views"].requires_grad
    assert not values["modal"].requires_grad
    weighed = terms.weighting(torch.tensor(3.0), values, 10, 0.4)
    assert weighed.keys() == {RANKING, "views"}
    assert weighed[RANKING] == 3
    torch.testing.assert_close(weighed["views"], values["views"] * 0.5 * 0.5 * 10)
    early = terms(sample, 0.1)
    assert not early["views"].requires_grad
    assert terms.weighting(torch.tensor(3.0), early, 10, 0.1) == {RANKING: 3}
    assert not terms.active(0.1)
    # A step without histories measures nothing of them.
    assert terms(TermInputs(items=items()), 0.4).keys() == {"modal"}


@pytest.mark.parametrize("name", ["sequence_views", "cross_modal"])
def test_a_term_says_what_it_needs(name: str) -> None:
    config = TypeAdapter(ContrastiveTermOptions).validate_python({"type": name})
    term: Term = config.build()
    assert term.sees == ("views" if name == "sequence_views" else "items")
    assert bool(term.most_items) == (name == "cross_modal")
    section = ContrastiveTerms.Options(terms={"one": config})
    terms = section.build()
    assert terms.needs_views == section.needs_views == (name == "sequence_views")
    assert terms.most_items == term.most_items
    assert terms(TermInputs(), 0.4) == {}
    assert terms(TermInputs(views=views(), items=items()), 0.4).keys() == {"one"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"terms": {}}, "at least 1"),
        ({"terms": {"loss": {"type": "cross_modal"}}}, "already has a field"),
        ({"terms": {"a": {"type": "cross_modal", "temperature": 0}}}, "greater than 0"),
        ({"terms": {"a": {"type": "views"}}}, "sequence_views"),
        ({"terms": {"a": {"type": "cross_modal"}}, "weighting": {"type": "uncertainty"}}, "fixed"),
    ],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContrastiveTerms.Options.model_validate(wrong)
