"""The base experiment's model in the loop: trained once, then fine-tuned on new clicks."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.model.build import build_network
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.semantic_ids.recommender import recommender_of
from crossrec.studies.feedback_loop.config import NeuralLearnerConfig
from crossrec.training.config import TrainerConfig
from crossrec.training.task import ItemPredictionTask
from crossrec.training.trainer import Trainer
from crossrec.training.windows import WindowBatches
from crossrec.types import InputError, Sequences

NOT_TRAINED_WITH = ("augment", "diversity", "contrastive", "neighbours", "rerank")
"""Parts of a base experiment that training inside the loop leaves out."""


class NeuralLearner:
    """Learner that trains on the initial log, and later on the histories of users with new clicks.

    Each later training has a new optimizer and schedule at lower rates, and ends with its last epoch: there
    is no validation. Items without a click at the start have no id embedding; the model
    represents them by text and picture.

    Args:
        prepared: base experiment, whose configuration has model, objective and trainer.
        config: epochs and rates.
        seed: seed of the initial weights and of training.
        device: device of the model.
        first_run: run folder of the first training, shared by the seed's policies.

    Raises:
        InputError: if the base experiment has a part that training inside the loop leaves out.
    """

    def __init__(
        self,
        prepared: PreparedExperiment,
        config: NeuralLearnerConfig,
        seed: int,
        device: torch.device,
        first_run: Path,
    ) -> None:
        _check_parts(prepared.config)
        self._setting, self._config, self._seed, self._device = prepared, config, seed, device
        self._first_run = first_run
        self._recommender: NeuralRecommender | None = None
        self._lengths_U = np.zeros(0, np.int64)
        self._trainings = 0

    def __call__(self, log: Sequences) -> NeuralRecommender:
        """Return the recommender after it has learned from the log.

        Args:
            log: U rows of the previous call, with new clicks appended.
        """
        if self._recommender is None:
            self._recommender = recommender_of(self._first(log))
        else:
            rows = np.flatnonzero(log.lengths > self._lengths_U)
            # The rows end in the new clicks; a window before them gives context.
            recent = log.take(rows).tail(self._recommender.network.sequence.max_length + 1)
            self._later(self._recommender.network, recent, log)
            self._recommender.refresh()
        self._lengths_U = log.lengths
        return self._recommender

    def _first(self, log: Sequences) -> SequentialNetwork:
        config = self._setting.config
        counts_N = np.bincount(log.items, minlength=len(self._setting.data.catalog))
        content, relations = self._setting.content, self._setting.relations(log)
        network = build_network(config.model, content, counts_N, self._seed, relations=relations)
        network = network.to(self._device)
        epochs = config.trainer.epochs if self._config.first_epochs is None else self._config.first_epochs
        self._train(network, log, log, config.trainer, epochs, self._seed, self._first_run)
        return network

    def _later(self, network: SequentialNetwork, recent: Sequences, log: Sequences) -> None:
        self._trainings += 1
        trainer, share = self._setting.config.trainer, self._config.lr_share
        rates = {"lr": trainer.lr * share, "encoder_lr": trainer.encoder_lr * share}
        seed = self._seed + 1_000_003 * self._trainings
        with TemporaryDirectory(prefix="crossrec-loop-") as folder:
            config = trainer.model_copy(update=rates)
            self._train(network, recent, log, config, self._config.epochs, seed, Path(folder))

    def _train(
        self,
        network: SequentialNetwork,
        clicks: Sequences,
        log: Sequences,
        config: TrainerConfig,
        epochs: int,
        seed: int,
        run_folder: Path,
    ) -> None:
        """Train the network in place, or load the final weights of this folder's training.

        Args:
            network: network of the base experiment.
            clicks: training clicks.
            log: all clicks so far; items in it are targets and negatives.
            config: configuration of batches, rates and clipping.
            epochs: number of epochs; one checkpoint is written after the last.
            seed: seed of batches, dropout and negatives.
            run_folder: run folder of this training.
        """
        from accelerate import Accelerator

        if epochs == 0 or not (clicks.lengths > 1).any():
            return
        categories = self._setting.data.catalog.category_matrix
        counts_N = np.bincount(log.items, minlength=categories.shape[0])
        known = np.flatnonzero(counts_N) if config.negatives_from == "clicked" else np.arange(len(counts_N))
        objective = self._setting.config.objective.build(counts_N[known], categories[known])
        batches = WindowBatches(
            clicks,
            max_length=network.sequence.max_length,
            batch_size=config.batch_size,
            overlap=config.window_overlap,
            seed=seed,
            masked=network.sequence.mask_share is not None,
        )
        Trainer(
            ItemPredictionTask(network, objective, torch.from_numpy(known)),
            batches,
            config.model_copy(update={"epochs": epochs, "eval_every": epochs}),
            accelerator=Accelerator(cpu=self._device.type == "cpu", mixed_precision=config.precision),
            validate=None,
            run_folder=run_folder,
            seed=seed,
        ).fit()
        network.eval()


def _check_parts(config: ExperimentConfig) -> None:
    if config.model.sequence.generates:
        raise InputError(
            f"base '{config.name}': its sequence model generates codes of the items it was trained on, which "
            "the simulated loop does not extend; choose another, such as model.sequence.type=sasrec"
        )
    found = [name for name in NOT_TRAINED_WITH if getattr(config, name) is not None]
    if found:
        out = ", ".join(f"{name}=null" for name in found)
        raise InputError(
            f"base '{config.name}': the simulated loop trains without {', '.join(found)}; leave them out by "
            f"changes: [{out}], and say rerankers in the policies"
        )
