"""Training of semantic ids: an order is learned, cold items of a liked kind are generated, runs resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.data.splits.leave_one_out import LeaveOneOutSplitter
from crossrec.evaluation.evaluate import rank_queries
from crossrec.losses.full_softmax import FullSoftmax
from crossrec.model.fusion.base import SingleModality
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.network import ItemEncoder
from crossrec.model.semantic_ids.decoder import CodeDecoder
from crossrec.model.semantic_ids.network import GenerativeNetwork, new_ids
from crossrec.model.semantic_ids.recommender import GenerativeRecommender
from crossrec.model.sequence.semantic_id import SemanticId
from crossrec.training.config import TrainerConfig
from crossrec.training.parallel import build_accelerator
from crossrec.training.task import ItemPredictionTask
from crossrec.training.trainer import Trainer, TrainingOutcome
from crossrec.training.windows import WindowBatches
from crossrec.types import Sequences

KINDS, PER_KIND, WIDTH = 8, 5, 16
N_ITEMS = KINDS * PER_KIND
KIND = np.arange(N_ITEMS) % KINDS


def kinds_in_order(n_users: int = 80) -> Sequences:
    """Users who go from a kind to the next; the last item of each kind is never clicked."""
    generator = np.random.default_rng(0)
    rows = []
    for _ in range(n_users):
        first, length = int(generator.integers(KINDS)), int(generator.integers(4, 9))
        kinds = (first + np.arange(length)) % KINDS
        rows.append((kinds + KINDS * generator.integers(0, PER_KIND - 1, length)).tolist())
    return Sequences.from_lists(rows)


Trained = tuple[GenerativeRecommender, TrainingOutcome, Path]


class Killed(Exception):
    """Stands for the end of the process."""


def train(folder: Path, die_at: int | None = None) -> tuple[GenerativeRecommender, TrainingOutcome]:
    """Train on content alone: a place per kind, with a little noise."""
    split = LeaveOneOutSplitter.Options().build().split(kinds_in_order(), N_ITEMS)
    generator = np.random.default_rng(1)
    features = 3 * np.eye(KINDS)[KIND] + 0.2 * generator.normal(size=(N_ITEMS, KINDS))
    text = FrozenFeatures(features.astype(np.float32), np.ones(N_ITEMS, bool), components=None)
    torch.manual_seed(0)
    items = ItemEncoder({"text": text}, SingleModality(1, WIDTH), WIDTH, dropout=0.0, modality_dropout=0.0)
    options = SemanticId.Options(codes=KINDS, levels=2, max_length=8, dropout=0.0, activation="gelu")
    ids = new_ids(items, options, split.train_counts, 0, split.train)
    decoder = CodeDecoder(options, WIDTH, ids.sizes, 1)
    sequence = options.build(WIDTH, folder)
    network = GenerativeNetwork(items, sequence, N_ITEMS, ids=ids, decoder=decoder, beam=10, similarity="dot")
    recommender = GenerativeRecommender(network)

    def validate() -> dict[str, float]:
        recommender.refresh()
        lists = rank_queries(recommender, split, split.valid, 10)
        targets = np.asarray(split.valid.targets.items)[:, None]
        return {"kind@4": float((KIND[lists.ids[:, :4]] == KIND[targets]).mean())}

    config = TrainerConfig(
        epochs=8, batch_size=16, lr=0.01, checkpoint_every=4, eval_every=4, metric="kind@4"
    )
    train_items = torch.from_numpy(split.train_counts.nonzero()[0])
    trainer = Trainer(
        ItemPredictionTask(network, FullSoftmax.Options().build(split.train_counts), train_items),
        WindowBatches(split.train, max_length=8, batch_size=16, overlap=0.25, seed=0),
        config,
        accelerator=build_accelerator(config, folder),
        validate=validate,
        run_folder=folder,
        seed=0,
    )
    if die_at is not None:
        step = trainer._step

        def step_or_die(windows, number, share_done):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if number == die_at:
                raise Killed
            return step(windows, number, share_done)

        trainer._step = step_or_die  # type: ignore[method-assign]
    outcome = trainer.fit()
    recommender.refresh()
    return recommender, outcome


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("run")
    return *train(folder), folder


def test_the_next_kind_is_learned(
    trained: Trained,
) -> None:
    recommender, outcome, _ = trained
    assert outcome.best is not None
    assert outcome.best > 0.9, "share of the next kind in the first four places; 1 / 8 by chance"
    found = recommender.recommend(Sequences.from_lists([[0, 1, 2], [2, 1, 0]]), 4)
    assert KIND[found.ids[0]].tolist() == [3] * 4
    assert KIND[found.ids[1]].tolist() == [1] * 4


def test_cold_items_are_generated_where_their_kind_is_next(
    trained: Trained,
) -> None:
    recommender = trained[0]
    cold = N_ITEMS - KINDS + np.arange(KINDS)
    histories = Sequences.from_lists([[kind, (kind + 1) % KINDS] for kind in range(KINDS)])
    found = recommender.recommend(histories, PER_KIND)
    wanted = cold[(np.arange(KINDS) + 2) % KINDS]
    assert (found.ids == wanted[:, None]).any(1).mean() > 0.8


def test_a_broken_training_resumes_to_the_same_losses(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path, die_at=14)
    recommender, outcome = train(tmp_path)
    assert outcome.best == trained[1].best
    histories = Sequences.from_lists([[0, 1, 2], [5]])
    torch.testing.assert_close(recommender.score(histories), trained[0].score(histories))
