"""Diversity terms in training: lists get more diverse, runs resume, processes agree."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from pydantic import TypeAdapter

from crossrec.fusion.config import ConcatConfig
from crossrec.model.item_encoder import ItemEncoder
from crossrec.model.modalities import ItemId
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.objectives.config import FullSoftmaxConfig, SampledSoftmaxConfig
from crossrec.objectives.diversity import DiversityConfig
from crossrec.objectives.diversity.adversarial import AdversarialTerm
from crossrec.objectives.diversity.base import ItemInfo
from crossrec.sequence.config import BERT4RecConfig, SASRecConfig
from crossrec.training.config import TrainerConfig
from crossrec.training.parallel import build_accelerator
from crossrec.training.task import ClickTask
from crossrec.training.trainer import Trainer
from crossrec.training.windows import WindowBatches
from crossrec.types import Sequences

N_ITEMS, KINDS, WIDTH, LENGTH = 60, 3, 16, 8
OBJECTIVES = {"full": FullSoftmaxConfig(), "sampled": SampledSoftmaxConfig(negatives=16)}
EVERY_TERM = {
    "similarity": {"type": "similarity", "weight": 0.5},
    "alike": {"type": "similarity", "space": "model", "weight": 0.1},
    "jaccard": {"type": "jaccard", "weight": 0.1, "candidates": 20},
    "dpp": {"type": "dpp", "weight": 0.1, "space": "model", "detach": False, "candidates": 20},
    "entropy": {"type": "entropy", "weight": 0.1},
    "gini": {"type": "gini", "weight": 0.1},
    "adversary": {"type": "adversarial", "weight": 0.1, "of": "history"},
    "item_to_user": {"type": "item_to_user", "weight": 0.5},
}
EXACT = {"terms": {"similarity": EVERY_TERM["similarity"], "dpp": EVERY_TERM["dpp"]}, "rows": 10_000}


def clicks(n_users: int = 60) -> Sequences:
    """Users who mostly stay with one kind of item, and of it mostly click the first few."""
    generator = np.random.default_rng(0)
    rows = []
    for length in generator.integers(4, 14, n_users):
        own = generator.integers(KINDS)
        kind = np.where(generator.random(length) < 0.85, own, generator.integers(0, KINDS, length))
        place = (20 * generator.random(length) ** 3).astype(int)
        rows.append(list(dict.fromkeys((place * KINDS + kind).tolist())))
    return Sequences.from_lists(rows)


def task(
    diversity: dict[str, Any] | None, *, objective: str = "full", dropout: float = 0.0, model: str = "sasrec"
) -> ClickTask:
    torch.manual_seed(0)
    items = ItemEncoder(
        {"id": ItemId(np.ones(N_ITEMS, bool), WIDTH)},
        ConcatConfig().build(1, WIDTH),
        WIDTH,
        dropout=dropout,
        modality_dropout=0.0,
    )
    config = (
        SASRecConfig(max_length=LENGTH, dropout=dropout)
        if model == "sasrec"
        else BERT4RecConfig(max_length=LENGTH, dropout=dropout, mask_share=0.4)
    )
    network = SequentialNetwork(
        items, config.build(WIDTH, Path()), N_ITEMS, similarity="cosine", temperature=0.1
    )
    counts = np.bincount(clicks().items, minlength=N_ITEMS)
    terms = None
    if diversity is not None:
        info = ItemInfo(torch.from_numpy(counts), torch.eye(KINDS)[torch.arange(N_ITEMS) % KINDS])
        chosen = TypeAdapter(DiversityConfig).validate_python({"type": "terms", **diversity})
        terms = chosen.build(info, WIDTH)
    return ClickTask(network, OBJECTIVES[objective].build(counts), torch.arange(N_ITEMS), terms)


def fit(
    folder: Path, learner: ClickTask, *, accumulation: int = 1, die_at: int | None = None
) -> list[dict[str, Any]]:
    """Trains for a few epochs and gives the lines of the steps."""
    folder.mkdir(exist_ok=True)
    config = TrainerConfig(epochs=3, batch_size=15, lr=0.01, accumulation=accumulation, checkpoint_every=3)
    dealer = WindowBatches(
        clicks(),
        max_length=LENGTH,
        batch_size=15,
        overlap=0.25,
        seed=0,
        masked=learner.network.sequence.mask_share is not None,
    )
    trainer = Trainer(
        learner,
        dealer,
        config,
        accelerator=build_accelerator(config, folder),
        validate=lambda: {"ndcg@10": 0.0},
        run_folder=folder,
        seed=0,
    )
    step = trainer._step

    def step_or_die(windows, number, share_done):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if number == die_at:
            raise KeyboardInterrupt
        return step(windows, number, share_done)

    trainer._step = step_or_die  # type: ignore[method-assign]
    trainer.fit()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "step"]


def fit_in_pair(rank: int, folder: Path) -> None:
    """One of two processes, with the environment that a launcher gives them."""
    torch.set_num_threads(1)
    ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ.update({**ranks, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"})
    # A fork inherits what accelerate found in the parent, which is alone.
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    fit(folder / "two", task(EXACT))


def learn(diversity: dict[str, Any] | None, epochs: int = 25) -> ClickTask:
    """Trains without a trainer, which costs less."""
    learner = task(diversity)
    dealer = WindowBatches(clicks(), max_length=LENGTH, batch_size=30, overlap=0.25, seed=0)
    optimiser = torch.optim.Adam(learner.parameters(), lr=0.01, foreach=False)
    for epoch in range(epochs):
        for number, windows in enumerate(dealer.epoch(epoch)):
            torch.manual_seed(1000 * epoch + number)
            loss = sum(learner(dealer.collate(windows), None).values(), torch.zeros(()))
            optimiser.zero_grad()
            (loss / dealer.mean_targets).backward()
            optimiser.step()
    return learner


def distance_and_entropy(learner: ClickTask) -> tuple[float, float]:
    """Share of pairs of a hard top-10 list that differ in kind, and entropy of its exposure over log N."""
    lists = NeuralRecommender(learner.network).recommend(clicks(), 10, clicks()).ids
    kinds = lists % KINDS
    differ = (kinds[:, :, None] != kinds[:, None, :]).sum((1, 2)).mean() / 90
    share = np.bincount(lists.ravel(), minlength=N_ITEMS) / lists.size
    return float(differ), float(-(share[share > 0] * np.log(share[share > 0])).sum() / np.log(N_ITEMS))


@pytest.fixture(scope="module")
def plain() -> ClickTask:
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
def test_list_terms_raise_the_distance_in_hard_lists(plain: ClickTask, term: dict[str, Any]) -> None:
    without, _ = distance_and_entropy(plain)
    with_term, _ = distance_and_entropy(learn({"terms": {"diversity": term}}))
    assert with_term > 1.2 * without


@pytest.mark.parametrize(
    "term", [{"type": "entropy", "weight": 5.0}, {"type": "gini", "weight": 0.5}], ids=lambda t: t["type"]
)
def test_exposure_terms_raise_the_entropy_of_hard_lists(plain: ClickTask, term: dict[str, Any]) -> None:
    _, without = distance_and_entropy(plain)
    _, with_term = distance_and_entropy(learn({"terms": {"exposure": term}, "rows": 512}))
    # Even exposure is 1.
    assert 1 - with_term < 0.8 * (1 - without)


def test_an_adversary_hides_the_kind_from_a_fresh_discriminator(plain: ClickTask) -> None:
    hidden = learn({"terms": {"adversary": {"type": "adversarial", "weight": 2.0, "of": "history"}}})
    found, hid = (_accuracy_of_a_fresh_discriminator(learner) for learner in (plain, hidden))
    # Chance is about a third to a half, as users are not spread evenly over the kinds.
    assert found > 0.85
    assert hid < found - 0.1


def _accuracy_of_a_fresh_discriminator(learner: ClickTask) -> float:
    log = clicks()
    queries_BD = NeuralRecommender(learner.network).queries(log)
    kinds_B = torch.tensor(
        [np.bincount(log.row(b) % KINDS, minlength=KINDS).argmax() for b in range(len(log))]
    )
    torch.manual_seed(0)
    term = AdversarialTerm(torch.eye(KINDS), width=WIDTH, hidden=16, of="target", reversal=1.0)
    optimiser = torch.optim.Adam(term.parameters(), lr=0.02, foreach=False)
    learned, asked = slice(0, 40), slice(40, None)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(term.predict(queries_BD[learned]), kinds_B[learned])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float((term.predict(queries_BD[asked]).argmax(1) == kinds_B[asked]).float().mean())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_terms_without_weight_change_no_bit(tmp_path: Path, objective: str) -> None:
    # A discriminator without a weight is refused, so it takes no part.
    silent = {name: {**term, "weight": 0} for name, term in EVERY_TERM.items() if name != "adversary"}
    options = {"objective": objective, "dropout": 0.2}
    measured = fit(tmp_path / "a", task({"terms": silent, "rows": 20}, **options), accumulation=2)
    nothing = fit(tmp_path / "b", task(None, **options), accumulation=2)
    assert [line["loss"] for line in measured] == [line["loss"] for line in nothing]
    assert measured[0].keys() - nothing[0].keys() == silent.keys()


@pytest.mark.parametrize(
    ("objective", "model", "weighting"),
    [("full", "sasrec", "uncertainty"), ("sampled", "sasrec", "schedule"), ("full", "bert4rec", "fixed")],
)
def test_a_broken_run_resumes_to_the_same_losses(
    tmp_path: Path, objective: str, model: str, weighting: str
) -> None:
    diversity = {"terms": EVERY_TERM, "rows": 20, "items": 40, "weighting": {"type": weighting}}
    options = {"objective": objective, "model": model, "dropout": 0.2}
    unbroken = fit(tmp_path / "a", task(diversity, **options))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "b", task(diversity, **options), die_at=8)
    learner = task(diversity, **options)
    resumed = fit(tmp_path / "b", learner)
    names = ["step", "loss", *EVERY_TERM]
    assert [[line[n] for n in names] for line in resumed] == [[line[n] for n in names] for line in unbroken]
    assert all(np.isfinite([line[n] for n in names]).all() for line in unbroken)
    if weighting == "uncertainty":
        assert learner.terms is not None
        assert learner.terms.weighting.log_variances.abs().min() > 0


def test_every_term_reaches_the_network() -> None:
    dealer = WindowBatches(clicks(), max_length=LENGTH, batch_size=30, overlap=0.25, seed=0)
    for name, term in EVERY_TERM.items():
        learner = task({"terms": {name: term}})
        losses = learner(dealer.collate(dealer.epoch(0)[0]), None)
        assert list(losses) == ["next_item", name]
        losses[name].backward()
        assert learner.network.items.modalities["id"].embedding.weight.grad.abs().max() > 0


def test_the_schedule_follows_the_trainer(tmp_path: Path) -> None:
    schedule = {"type": "schedule", "start": 0.4, "end": 1.0}
    late = {"terms": {"gini": {"type": "gini", "weight": 5.0}}, "weighting": schedule}
    scheduled, nothing = fit(tmp_path / "a", task(late)), fit(tmp_path / "b", task(None))
    same = [a["loss"] == b["loss"] for a, b in zip(scheduled, nothing, strict=True)]
    # The first step with a weight still starts from the same parameters.
    first = int(np.ceil(0.4 * len(same)))
    assert all(same[: first + 1])
    assert not any(same[first + 2 :])


def test_a_part_without_targets_adds_nothing() -> None:
    learner = task({"terms": EVERY_TERM, "weighting": {"type": "uncertainty"}})
    dealer = WindowBatches(clicks(), max_length=LENGTH, batch_size=30, overlap=0.25, seed=0)
    losses = learner(dealer.collate(dealer.epoch(0)[0], np.zeros(0, np.int64)), None)
    assert float(sum(losses.values()).detach()) == 0


def test_each_part_of_a_step_looks_at_other_positions_and_items() -> None:
    # Without dropout nothing else moves the generator of the processor, as on an accelerator.
    learner = task({"terms": {"similarity": {"type": "similarity"}}, "rows": 15, "items": 30})
    dealer = WindowBatches(clicks(), max_length=LENGTH, batch_size=30, overlap=0.25, seed=0)
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


def test_lists_are_of_the_logits_that_the_ranking_loss_sees() -> None:
    dealer = WindowBatches(clicks(), max_length=LENGTH, batch_size=30, overlap=0.25, seed=0)
    values = []
    # Twice the logits and twice the temperature of lists: the same lists.
    for objective_temperature, temperature in ((1.0, 0.5), (0.5, 1.0), (0.5, 0.5)):
        learner = task({"terms": {"similarity": {"type": "similarity", "temperature": temperature}}})
        learner.objective.temperature = objective_temperature
        learner(dealer.collate(dealer.epoch(0)[0]), None)
        values.append(learner.take_measured()["similarity"])
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert values[2] != pytest.approx(values[0], rel=1e-3)


def test_wrapping_sends_no_tables_around_at_each_step(tmp_path: Path) -> None:
    handler = build_accelerator(TrainerConfig(), tmp_path).ddp_handler
    assert handler is not None
    assert not handler.broadcast_buffers


def test_two_processes_give_one_process_losses(tmp_path: Path) -> None:
    one = fit(tmp_path / "one", task(EXACT))
    # Forked processes need no imports of their own, which take far longer than the training. Where there is
    # an accelerator, autograd can't be forked.
    start = "spawn" if torch.accelerator.is_available() else "fork"
    torch.multiprocessing.start_processes(fit_in_pair, args=(tmp_path,), nprocs=2, start_method=start)
    lines = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    two = [line for line in lines if line["kind"] == "step"]
    # Terms of single lists are means over positions, so that they add up over processes.
    for name in ("loss", "similarity", "dpp"):
        np.testing.assert_allclose(
            [line[name] for line in two], [line[name] for line in one], rtol=1e-4, atol=1e-5
        )


@pytest.fixture(autouse=True)
def _on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
