"""Diversity terms in training: lists get more diverse, and every term sees what it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.data.item_table import ItemTable
from crossrec.losses.terms.adversarial import AdversarialTerm
from crossrec.model.recommender import NeuralRecommender
from crossrec.training.task import ItemPredictionTask
from crossrec.training.windows import WindowBatches
from crossrec.types import Sequences

N_ITEMS, KINDS, WIDTH = 60, 3, 16
Task = Callable[..., ItemPredictionTask]
Terms = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def learn(task: Task, dealer: WindowBatches) -> Task:
    """``learn(diversity)``: a trained one, without a trainer, which costs less."""

    def train(diversity: dict[str, Any] | None, epochs: int = 25) -> ItemPredictionTask:
        learner = task(diversity)
        optimiser = torch.optim.Adam(learner.parameters(), lr=0.01, foreach=False)
        for epoch in range(epochs):
            for number, windows in enumerate(dealer.epoch(epoch)):
                torch.manual_seed(1000 * epoch + number)
                loss = sum(learner(dealer.collate(windows), None).values(), torch.zeros(()))
                optimiser.zero_grad()
                (loss / dealer.mean_targets).backward()
                optimiser.step()
        return learner

    return train


def distance_and_entropy(learner: ItemPredictionTask, log: Sequences) -> tuple[float, float]:
    """Share of pairs of a hard top-10 list that differ in kind, and entropy of its exposure over log N."""
    lists = NeuralRecommender(learner.network).recommend(log, 10, log).ids
    kinds = lists % KINDS
    differ = (kinds[:, :, None] != kinds[:, None, :]).sum((1, 2)).mean() / 90
    share = np.bincount(lists.ravel(), minlength=N_ITEMS) / lists.size
    return float(differ), float(-(share[share > 0] * np.log(share[share > 0])).sum() / np.log(N_ITEMS))


@pytest.fixture(scope="module")
def plain(learn: Task) -> ItemPredictionTask:
    return learn(None)


@pytest.mark.parametrize(
    "term",
    [
        {"type": "similarity", "weight": 3.0},
        {"type": "jaccard", "weight": 3.0},
        {"type": "dpp", "weight": 10.0},
    ],
    ids=lambda term: term["type"],
)
def test_list_terms_raise_the_distance_in_hard_lists(
    plain: ItemPredictionTask, learn: Task, clicks: Sequences, term: dict[str, Any]
) -> None:
    without, _ = distance_and_entropy(plain, clicks)
    with_term, _ = distance_and_entropy(learn({"terms": {"diversity": term}}), clicks)
    assert with_term > 1.2 * without


@pytest.mark.parametrize(
    "term", [{"type": "entropy", "weight": 5.0}, {"type": "gini", "weight": 0.5}], ids=lambda t: t["type"]
)
def test_exposure_terms_raise_the_entropy_of_hard_lists(
    plain: ItemPredictionTask, learn: Task, clicks: Sequences, term: dict[str, Any]
) -> None:
    _, without = distance_and_entropy(plain, clicks)
    _, with_term = distance_and_entropy(learn({"terms": {"exposure": term}, "rows": 512}), clicks)
    # Even exposure is 1.
    assert 1 - with_term < 0.8 * (1 - without)


def test_an_adversary_hides_the_kind_from_a_fresh_discriminator(
    plain: ItemPredictionTask, learn: Task, clicks: Sequences
) -> None:
    hidden = learn({"terms": {"adversary": {"type": "adversarial", "weight": 2.0, "of": "history"}}})
    found, hid = (_accuracy_of_a_fresh_discriminator(learner, clicks) for learner in (plain, hidden))
    # Chance is about a third to a half, as users are not spread evenly over the kinds.
    assert found > 0.85
    assert hid < found - 0.1


def _accuracy_of_a_fresh_discriminator(learner: ItemPredictionTask, log: Sequences) -> float:
    queries_BD = NeuralRecommender(learner.network).queries(log)
    kinds_B = torch.tensor(
        [np.bincount(log.row(b) % KINDS, minlength=KINDS).argmax() for b in range(len(log))]
    )
    torch.manual_seed(0)
    kinds = ItemTable(torch.ones(KINDS), torch.eye(KINDS))
    term = AdversarialTerm.Options(hidden=16).build(kinds, WIDTH)
    optimiser = torch.optim.Adam(term.parameters(), lr=0.02, foreach=False)
    learned, asked = slice(0, 40), slice(40, None)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(term.predict(queries_BD[learned]), kinds_B[learned])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float((term.predict(queries_BD[asked]).argmax(1) == kinds_B[asked]).float().mean())


def test_every_term_reaches_the_network(task: Task, dealer: WindowBatches, every_term: Terms) -> None:
    for name, term in every_term.items():
        learner = task({"terms": {name: term}})
        losses = learner(dealer.collate(dealer.epoch(0)[0]), None)
        assert list(losses) == ["next_item", name]
        losses[name].backward()
        assert learner.network.items.modalities["id"].embedding.weight.grad.abs().max() > 0


def test_a_part_without_targets_adds_nothing(task: Task, dealer: WindowBatches, every_term: Terms) -> None:
    learner = task({"terms": every_term, "weighting": {"type": "uncertainty"}})
    losses = learner(dealer.collate(dealer.epoch(0)[0], np.zeros(0, np.int64)), None)
    assert float(sum(losses.values()).detach()) == 0


def test_each_part_of_a_step_looks_at_other_positions_and_items(task: Task, dealer: WindowBatches) -> None:
    # Without dropout nothing else moves the generator of the processor, as on an accelerator.
    learner = task({"terms": {"similarity": {"type": "similarity"}}, "rows": 15, "items": 30})
    batch = dealer.collate(dealer.epoch(0)[0])

    def part() -> float:
        learner(batch, None)
        return learner.take_measured()["similarity"]

    torch.manual_seed(3)
    parts = [part() for _ in range(3)]
    assert len(set(parts)) == 3
    torch.manual_seed(4)
    assert part() not in parts
    torch.manual_seed(3)
    assert [part() for _ in range(3)] == parts


def test_lists_are_of_the_logits_that_the_ranking_loss_sees(task: Task, dealer: WindowBatches) -> None:
    values = []
    # Twice the logits and twice the temperature of lists: the same lists.
    for objective_temperature, temperature in ((1.0, 0.5), (0.5, 1.0), (0.5, 0.5)):
        learner = task({"terms": {"similarity": {"type": "similarity", "temperature": temperature}}})
        learner.objective.temperature = objective_temperature
        learner(dealer.collate(dealer.epoch(0)[0]), None)
        values.append(learner.take_measured()["similarity"])
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert values[2] != pytest.approx(values[0], rel=1e-3)
