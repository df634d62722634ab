"""The base experiment's model inside the loop: trained once, then carried on with what was clicked since."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.model.build import build_network
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.runtime.files import atomic_path
from crossrec.studies.feedback_loop.config import NeuralLearnerConfig
from crossrec.training.config import TrainerConfig
from crossrec.training.task import ItemPredictionTask
from crossrec.training.trainer import build_optimizer, rate_factor
from crossrec.training.windows import WindowBatches
from crossrec.types import InputError, Sequences

NOT_TRAINED_WITH = ("augment", "diversity", "contrastive", "rerank")
"""Parts of a base experiment that training inside the loop doesn't know."""


@dataclass(frozen=True)
class LoopTraining:
    """One training inside the loop.

    Args:
        config: of batches, rates and clipping.
        epochs: how many.
        seed: of batches, dropout and negatives.
    """

    config: TrainerConfig
    epochs: int
    seed: int


class NeuralLearner:
    """Trains on the log at the start, later on the histories of users who clicked since the last time.

    Each later training starts a new optimiser and schedule at lower rates. Items that nobody had clicked at
    the start keep having no id embedding; they are known by text and picture.

    Args:
        setting: of the base experiment; model, objective and trainer are taken from its configuration.
        config: epochs and rates.
        seed: of the first weights and of everything that training draws.
        device: where it runs.
        first_weights: file that keeps the weights after the first training, for other policies.

    Raises:
        InputError: the base experiment has a part that training inside the loop doesn't know.
    """

    def __init__(
        self,
        setting: PreparedExperiment,
        config: NeuralLearnerConfig,
        seed: int,
        device: torch.device,
        first_weights: Path,
    ) -> None:
        _refuse_what_is_not_trained_with(setting.config)
        self._setting, self._config, self._seed, self._device = setting, config, seed, device
        self._first_weights = first_weights
        self._recommender: NeuralRecommender | None = None
        self._lengths_U = np.zeros(0, np.int64)
        self._trainings = 0

    def __call__(self, log: Sequences) -> NeuralRecommender:
        """The recommender after having learned from the log.

        Args:
            log: U rows, those of the last time with new clicks at their ends.
        """
        if self._recommender is None:
            self._recommender = NeuralRecommender(self._first(log))
        else:
            rows = np.flatnonzero(log.lengths > self._lengths_U)
            # The rows end in what is new; a window before it gives context.
            recent = log.take(rows).tail(self._recommender.network.sequence.max_length + 1)
            self._train(self._recommender.network, recent, log, self._later())
            self._recommender.refresh()
        self._lengths_U = log.lengths
        return self._recommender

    def _first(self, log: Sequences) -> SequentialNetwork:
        from safetensors.torch import load_file, save_file

        config = self._setting.config
        counts_N = np.bincount(log.items, minlength=len(self._setting.data.catalog))
        content, relations = self._setting.content, self._setting.relations(log)
        network = build_network(config.model, content, counts_N, self._seed, relations=relations)
        network = network.to(self._device)
        if self._first_weights.exists():
            network.load_state_dict(load_file(self._first_weights, device=str(self._device)))
            return network
        epochs = config.trainer.epochs if self._config.first_epochs is None else self._config.first_epochs
        self._train(network, log, log, LoopTraining(config.trainer, epochs, self._seed))
        with atomic_path(self._first_weights) as temporary:
            save_file({name: value.contiguous() for name, value in network.state_dict().items()}, temporary)
        return network

    def _later(self) -> LoopTraining:
        self._trainings += 1
        trainer, share = self._setting.config.trainer, self._config.lr_share
        rates = {"lr": trainer.lr * share, "encoder_lr": trainer.encoder_lr * share}
        seed = self._seed + 1_000_003 * self._trainings
        return LoopTraining(trainer.model_copy(update=rates), self._config.epochs, seed)

    def _train(
        self, network: SequentialNetwork, clicks: Sequences, log: Sequences, training: LoopTraining
    ) -> None:
        """Minimises the base experiment's loss over some clicks; items clicked so far are all targets."""
        if training.epochs == 0 or not (clicks.lengths > 1).any():
            return
        categories = self._setting.data.catalog.category_matrix
        counts_N = np.bincount(log.items, minlength=categories.shape[0])
        known = (
            np.flatnonzero(counts_N)
            if training.config.negatives_from == "clicked"
            else np.arange(len(counts_N))
        )
        objective = self._setting.config.objective.build(counts_N[known], categories[known])
        task = ItemPredictionTask(network, objective, torch.from_numpy(known)).to(self._device)
        batches = WindowBatches(
            clicks,
            max_length=network.sequence.max_length,
            batch_size=training.config.batch_size,
            overlap=training.config.window_overlap,
            seed=training.seed,
            masked=network.sequence.mask_share is not None,
        )
        descend(task, batches, training, self._device)


def _refuse_what_is_not_trained_with(config: ExperimentConfig) -> None:
    found = [name for name in NOT_TRAINED_WITH if getattr(config, name) is not None]
    if found:
        out = ", ".join(f"{name}=null" for name in found)
        raise InputError(
            f"base '{config.name}': the simulated loop trains without {', '.join(found)}; leave them out by "
            f"changes: [{out}], and say rerankers in the policies"
        )


def descend(
    task: ItemPredictionTask, batches: WindowBatches, training: LoopTraining, device: torch.device
) -> None:
    """Gradient descent in memory: no validation, no checkpoints, no log.

    Args:
        task: model and loss.
        batches: deals out the steps.
        training: how.
        device: of the task.
    """
    optimiser = build_optimizer(task, training.config)
    rates = [group["lr"] for group in optimiser.param_groups]
    step = 0
    task.train()
    for epoch in range(training.epochs):
        steps = batches.epoch(epoch)
        for number, windows in enumerate(steps):
            task.progress = (epoch + number / len(steps)) / training.epochs
            torch.manual_seed(hash((training.seed, step)) % 2**63)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * rate_factor(task.progress, training.config)
            negatives = task.sample_negatives(hash((training.seed, step)) % 2**63, batches.targets(windows))
            losses = task(batches.collate(windows).to(device), negatives)
            loss = sum(losses.values(), torch.zeros((), device=device))
            (loss / batches.mean_targets).backward()
            torch.nn.utils.clip_grad_norm_(task.parameters(), training.config.clip_norm)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
    task.eval()
