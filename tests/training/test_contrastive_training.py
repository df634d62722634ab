"""Contrastive terms and augmented copies in training: they learn, resume, and agree across processes."""

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

from crossrec.augment.base import Schedule
from crossrec.augment.sequences.base import SequenceContext
from crossrec.augment.sequences.compose import SequenceAugmentConfig
from crossrec.data.item_table import ItemTable
from crossrec.losses import DiversityOptions
from crossrec.losses.full_softmax import FullSoftmax
from crossrec.losses.sampled_softmax import SampledSoftmax
from crossrec.losses.terms.term_set import ContrastiveTerms
from crossrec.model.fusion.gated import GatedFusion
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.sequence.bert4rec import BERT4Rec
from crossrec.model.sequence.hstu import HSTU
from crossrec.model.sequence.sasrec import SASRec
from crossrec.training.config import TrainerConfig
from crossrec.training.epochs import AugmentedCopies, LogRows
from crossrec.training.parallel import build_accelerator
from crossrec.training.task import ItemPredictionTask
from crossrec.training.trainer import Trainer
from crossrec.training.windows import ViewMaker, WindowBatches
from crossrec.types import InputError, Sequences

N_ITEMS, WIDTH, LENGTH, EPOCHS = 60, 16, 8, 3
SEQUENCES = {"sasrec": SASRec.Options, "bert4rec": BERT4Rec.Options, "hstu": HSTU.Options}
OBJECTIVES = {"full": FullSoftmax.Options(), "sampled": SampledSoftmax.Options(negatives=16)}
TERMS = {
    "views": {"type": "sequence_views", "weight": 0.3},
    "modal": {"type": "cross_modal", "weight": 0.3, "items": 40},
}
AUGMENTERS = [{"type": name} for name in ("crop", "mask", "reorder", "substitute", "insert")]


def clicks() -> Sequences:
    """Users who go from item to item, with times; the last ones are known by no modality but their id."""
    generator = np.random.default_rng(0)
    rows = []
    for length in generator.integers(2, 20, 30):
        steps = np.where(generator.random(length) < 0.8, 1, generator.integers(0, N_ITEMS, length))
        rows.append(list(dict.fromkeys((steps.cumsum() % N_ITEMS).tolist())))
    plain = Sequences.from_lists(rows)
    return Sequences(plain.offsets, plain.items, 1000 * np.arange(len(plain.items)))


def network(model: str, dropout: float, modalities: tuple[str, ...]) -> SequentialNetwork:
    torch.manual_seed(0)
    features = np.random.default_rng(1).normal(size=(N_ITEMS, 12)).astype(np.float32)
    found = {
        "text": FrozenFeatures(features, np.arange(N_ITEMS) % 7 > 0, components=8),
        "id": ItemIdEmbedding(np.ones(N_ITEMS, bool), WIDTH),
    }
    items = ItemEncoder(
        {name: found[name] for name in modalities},
        GatedFusion.Options().build(len(modalities), WIDTH),
        WIDTH,
        dropout=dropout,
        modality_dropout=0.0,
    )
    sequence = SEQUENCES[model](max_length=LENGTH, dropout=dropout).build(WIDTH, Path())
    return SequentialNetwork(items, sequence, N_ITEMS, similarity="cosine", temperature=0.1)


def task(
    terms: dict[str, Any] | None,
    *,
    objective: str = "full",
    model: str = "sasrec",
    dropout: float = 0.0,
    modalities: tuple[str, ...] = ("text", "id"),
    diversity: dict[str, Any] | None = None,
) -> ItemPredictionTask:
    counts = np.bincount(clicks().items, minlength=N_ITEMS)
    found = None if terms is None else ContrastiveTerms.Options.model_validate({"terms": terms}).build()
    lists = None
    if diversity is not None:
        info = ItemTable(torch.from_numpy(counts), torch.eye(3)[torch.arange(N_ITEMS) % 3])
        chosen = TypeAdapter(DiversityOptions).validate_python({"type": "terms", "terms": diversity})
        lists = chosen.build(info, WIDTH)
    return ItemPredictionTask(
        network(model, dropout, modalities),
        OBJECTIVES[objective].build(counts),
        torch.arange(N_ITEMS),
        lists,
        found,
    )


def dealer(learner: ItemPredictionTask, copies: float) -> WindowBatches:
    train = clicks()
    augmenter = SequenceAugmentConfig.model_validate({"augmenters": AUGMENTERS}).build(
        SequenceContext(train, ItemTable.of_size(N_ITEMS))
    )
    source = AugmentedCopies(
        LogRows(train),
        augmenter,
        copies=copies,
        max_clicks=None,
        schedule=Schedule(start=0.3),
        epochs=EPOCHS,
        seed=0,
    )
    views = ViewMaker(augmenter, max_length=learner.network.history_length, seed=0)
    return WindowBatches(
        train,
        max_length=LENGTH,
        batch_size=15,
        overlap=0.25,
        seed=0,
        masked=learner.network.sequence.mask_share is not None,
        source=source,
        views=None if learner.contrastive is None or not learner.contrastive.needs_views else views,
    )


def fit(
    folder: Path,
    learner: ItemPredictionTask,
    *,
    copies: float = 1.0,
    accumulation: int = 1,
    die_at: int | None = None,
) -> list[dict[str, Any]]:
    """Trains for a few epochs and gives the lines of the steps."""
    folder.mkdir(exist_ok=True)
    config = TrainerConfig(
        epochs=EPOCHS, batch_size=15, lr=0.01, accumulation=accumulation, checkpoint_every=3
    )
    trainer = Trainer(
        learner,
        dealer(learner, copies),
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


def fit_in_pair(rank: int, folder: Path, options: dict[str, Any], accumulation: int) -> None:
    """One of two processes, with the environment that a launcher gives them."""
    torch.set_num_threads(1)
    ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ.update({**ranks, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"})
    # A fork inherits what accelerate found in the parent, which is alone.
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    fit(folder / "two", task(TERMS, **options), accumulation=accumulation)


@pytest.mark.parametrize(
    ("objective", "model"),
    [("full", "bert4rec"), ("sampled", "hstu"), pytest.param("full", "sasrec", marks=pytest.mark.slow)],
)
def test_a_broken_run_resumes_to_the_same_losses(tmp_path: Path, objective: str, model: str) -> None:
    options: dict[str, Any] = {"objective": objective, "model": model, "dropout": 0.2}
    unbroken = fit(tmp_path / "a", task(TERMS, **options))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "b", task(TERMS, **options), die_at=7)
    resumed = fit(tmp_path / "b", task(TERMS, **options))
    names = ["step", "epoch", "loss", "lr", *TERMS]
    assert [[line[n] for n in names] for line in resumed] == [[line[n] for n in names] for line in unbroken]
    # Copies come in with the second epoch.
    steps = np.bincount([line["epoch"] for line in unbroken])
    assert steps[1] > steps[0]


@pytest.mark.parametrize("objective", ["sampled", pytest.param("full", marks=pytest.mark.slow)])
def test_terms_without_weight_change_no_bit(tmp_path: Path, objective: str) -> None:
    silent = {name: {**term, "weight": 0} for name, term in TERMS.items()}
    options: dict[str, Any] = {"objective": objective, "dropout": 0.2}
    measured = fit(tmp_path / "a", task(silent, **options), accumulation=2)
    nothing = fit(tmp_path / "b", task(None, **options), accumulation=2)
    assert [line["loss"] for line in measured] == [line["loss"] for line in nothing]
    assert measured[0].keys() - nothing[0].keys() == silent.keys()


@pytest.mark.parametrize(
    ("objective", "model", "accumulation"),
    [
        ("full", "sasrec", 1),
        pytest.param("sampled", "sasrec", 2, marks=pytest.mark.slow),
        # Parts so small that a process has no history in some.
        pytest.param("full", "sasrec", 4, marks=pytest.mark.slow),
    ],
)
def test_two_processes_give_one_process_losses(
    tmp_path: Path, objective: str, model: str, accumulation: int
) -> None:
    options: dict[str, Any] = {"objective": objective, "model": model}
    one = fit(tmp_path / "one", task(TERMS, **options), accumulation=accumulation)
    # Forked processes need no imports of their own. Where there is an accelerator, autograd can't be forked.
    start = "spawn" if torch.accelerator.is_available() else "fork"
    torch.multiprocessing.start_processes(
        fit_in_pair, args=(tmp_path, options, accumulation), nprocs=2, start_method=start
    )
    lines = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    two = [line for line in lines if line["kind"] == "step"]
    for name in ("loss", *TERMS):
        np.testing.assert_allclose(
            [line[name] for line in two], [line[name] for line in one], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", TERMS)
def test_a_term_s_gradient_reaches_what_it_compares(objective: str, name: str) -> None:
    learner = task({name: TERMS[name]}, objective=objective)
    batches = dealer(learner, 0.0)
    windows = batches.epoch(0)[0]
    (part,) = batches.parts(windows, rank=0, world=1, accumulation=1, number=0)
    losses = learner(part, learner.sample_negatives(0, batches.targets(windows)))
    learner.zero_grad()
    losses[name].backward()
    reached = {n for n, p in learner.named_parameters() if p.grad is not None and p.grad.any()}
    assert any("modalities.id.embedding" in n for n in reached)
    assert any("project.text" in n for n in reached)
    assert any(".sequence." in n for n in reached) == (name == "views")


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_learned_where_it_weighs(name: str) -> None:
    def learn(weight: float) -> list[float]:
        """The term's values on one step, again and again."""
        learner = task({name: {**TERMS[name], "weight": weight}})
        batches = dealer(learner, 0.0)
        windows = batches.epoch(0)[0]
        (part,) = batches.parts(windows, rank=0, world=1, accumulation=1, number=0)
        optimiser = torch.optim.Adam(learner.parameters(), lr=0.01, foreach=False)
        found = []
        for _ in range(30):
            loss = sum(learner(part, None).values(), torch.zeros(()))
            optimiser.zero_grad()
            (loss / batches.mean_targets).backward()
            optimiser.step()
            found.append(learner.take_measured()[name] / windows.n_targets)
        return found

    without, weighed = learn(0.0), learn(3.0)
    assert weighed[0] == without[0]
    assert weighed[-1] < 0.8 * weighed[0]
    assert weighed[-1] < 0.9 * without[-1]


def test_one_modality_can_t_be_compared() -> None:
    with pytest.raises(InputError, match="only \\['id'\\]"):
        task({"modal": TERMS["modal"]}, modalities=("id",))


def test_a_name_is_given_once() -> None:
    with pytest.raises(InputError, match="both have a term named views"):
        task(TERMS, diversity={"views": {"type": "entropy"}})


def test_views_that_nobody_makes_are_missed() -> None:
    learner = task(TERMS)
    batches = dealer(task(None), 0.0)
    with pytest.raises(ValueError, match="batches make none"):
        learner(batches.collate(batches.epoch(0)[0]), None)
