"""The training loop, its optimizer and its learning-rate schedule."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from crossrec.data.identity import DataIdentity
from crossrec.losses.terms.weighting import RANKING
from crossrec.runtime import distributed
from crossrec.runtime.device import keep_freed_memory
from crossrec.training.checkpoint import WEIGHTS, Checkpoints, Progress, load_trained_state, save_weights
from crossrec.training.config import TrainerConfig
from crossrec.training.parallel import parallelize
from crossrec.training.task import ItemPredictionTask
from crossrec.training.tracking import ProgressBar, RunLog, progress_bar
from crossrec.training.windows import WindowBatches, Windows
from crossrec.types import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator


PRETRAINED = ("network.sequence.decoder.", ".encoder.")
"""Parts of parameter names that mark pretrained weights and their adapters."""


def build_optimizer(task: nn.Module, config: TrainerConfig) -> torch.optim.AdamW:
    """Build AdamW over trainable parameters: pretrained parts at their own rate, no decay on vectors.

    The rate of a module with an attribute ``lr_scale``, and of all modules in it, is multiplied by it.
    """
    scales = {
        f"{name}.": module.lr_scale for name, module in task.named_modules() if hasattr(module, "lr_scale")
    }
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in task.named_parameters():
        if parameter.requires_grad:
            pretrained = any(part in name for part in PRETRAINED)
            scale = math.prod(scale for prefix, scale in scales.items() if name.startswith(prefix))
            groups.setdefault((pretrained, scale, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": scale * (config.encoder_lr if pretrained else config.lr),
                "weight_decay": config.weight_decay if matrix else 0.0,
            }
            for (pretrained, scale, matrix), parameters in sorted(groups.items(), key=lambda entry: entry[0])
        ],
        lr=config.lr,
        betas=(0.9, 0.98),
    )


def rate_factor(progress: float, config: TrainerConfig) -> float:
    """Return the factor of the learning rates: linear warm-up, then a cosine down to ``final_lr``.

    Args:
        progress: share of the training done, 0 to 1. The schedule depends on it alone, so it has no state
            that a checkpoint could miss.
        config: options of the schedule.
    """
    if progress < config.warmup:
        return progress / config.warmup
    done = (progress - config.warmup) / max(1 - config.warmup, 1e-9)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.final_lr + (1 - config.final_lr) * cosine


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOutcome:
    """Result of a training.

    Args:
        steps: optimizer steps done.
        best: best validation value, of the weights that the network now holds.
        stopped_early: whether patience ran out before the last epoch.
    """

    steps: int
    best: float | None
    stopped_early: bool


class Trainer:
    """Training loop; the same losses and metrics with any number of processes, killed or not.

    Randomness is a function of (seed, step, process), the batches of (seed, epoch) and the learning
    rate of the progress, so that a resumed run repeats an unbroken one.

    Args:
        task: model and loss.
        batches: source of the steps.
        config: options of the training.
        accelerator: accelerator of this process.
        validate: function that evaluates the task's network as it is now; called on every process. None to
            train to the last epoch, whose weights then count as the best.
        run_folder: folder of ``log.jsonl`` and ``checkpoints/``.
        seed: seed of dropout and negatives.
        identity: identity of the data, saved with all weights.
    """

    def __init__(
        self,
        task: ItemPredictionTask,
        batches: WindowBatches,
        config: TrainerConfig,
        *,
        accelerator: Accelerator,
        validate: Callable[[], dict[str, float]] | None,
        run_folder: Path,
        seed: int,
        identity: DataIdentity | None = None,
    ) -> None:
        keep_freed_memory()
        self.config = config
        self.batches = batches
        self.accelerator = accelerator
        self.validate = validate
        self.seed = seed
        self.folder = run_folder
        self.task = task
        self.optimizer: torch.optim.Optimizer = build_optimizer(task, config)
        self._base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.wrapped, self.optimizer = parallelize(accelerator, task, self.optimizer)
        self.identity = identity
        self.checkpoints = Checkpoints(accelerator, run_folder / "checkpoints", identity)
        self.best_folder = run_folder / "checkpoints" / "best"

    def fit(self) -> TrainingOutcome:
        """Train from the latest checkpoint, if any, to the end; the network then holds the best weights."""
        progress = self.checkpoints.resume() or Progress()
        log = RunLog(self.folder / "log.jsonl", progress.step, self.accelerator)
        if progress.step and not progress.finished:
            logger.info("resuming at step %d, epoch %d", progress.step, progress.epoch)
        try:
            with progress_bar(self.batches.expected_steps(self.config.epochs), progress.step) as bar:
                while not progress.finished and progress.epoch < self.config.epochs:
                    self._epoch(progress, log, bar)
        finally:
            log.close()
        if (self.best_folder / WEIGHTS).exists():
            load_trained_state(self.task.network, self.best_folder / WEIGHTS)
        return TrainingOutcome(progress.step, progress.best, progress.epoch < self.config.epochs)

    def _epoch(self, progress: Progress, log: RunLog, bar: ProgressBar) -> None:
        steps = self.batches.epoch(progress.epoch)
        self.wrapped.train()
        while progress.batch < len(steps):
            share_done = (progress.epoch + progress.batch / len(steps)) / self.config.epochs
            started = time.perf_counter()
            losses, rate = self._step(steps[progress.batch], progress.step, share_done)
            self._check_finite(losses, progress.step + 1)
            loss = losses.pop(RANKING)
            progress.step += 1
            progress.batch += 1
            seconds = time.perf_counter() - started
            speed = steps[progress.batch - 1].n_targets / seconds
            log.write(
                "step",
                progress.step,
                {
                    "epoch": progress.epoch,
                    "loss": loss,
                    **losses,
                    "lr": rate,
                    "clicks_per_s": round(speed, 1),
                    "seconds": round(seconds, 5),
                },
            )
            bar.advance(f"{speed:,.0f} clicks/s", f"loss {loss:.3f} best {progress.best or 0:.4f}")
            if progress.step % self.config.checkpoint_every == 0:
                self.checkpoints.save(progress)
        progress.epoch += 1
        progress.batch = 0
        if progress.epoch % self.config.eval_every == 0 or progress.epoch == self.config.epochs:
            self._validate(progress, log)
            self.checkpoints.save(progress)

    def _check_finite(self, losses: dict[str, float], step: int) -> None:
        """Stop at a loss that isn't finite, since the step would destroy all weights.

        With fp16 a step that overflows is skipped and the scale of the gradients lowered.

        Raises:
            InputError: if the loss is not finite; the message names the loss, the step and remedies.
        """
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad and self.config.precision != "fp16":
            raise InputError(
                f"the {bad[0]} loss is {losses[bad[0]]} at step {step}: training has diverged. Lower "
                f"trainer.lr ({self.config.lr:g}), trainer.clip_norm or weights of losses; "
                f"checkpoints and the best weights before this step are kept in {self.folder / 'checkpoints'}"
            )

    def _step(self, windows: Windows, step: int, share_done: float) -> tuple[dict[str, float], float]:
        """Do one optimizer step; return the unweighted mean of each loss, and the learning rate."""
        self.task.progress = share_done
        self.task.network.set_progress(share_done)
        torch.manual_seed(hash((self.seed, step, distributed.rank())) % 2**63)
        factor = rate_factor(share_done, self.config)
        for group, base in zip(self.optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = base * factor
        negatives = self.task.sample_negatives(hash((self.seed, step)) % 2**63, self.batches.targets(windows))
        world = distributed.world_size()
        parts = list(
            self.batches.parts(
                windows,
                rank=distributed.rank(),
                world=world,
                accumulation=self.config.accumulation,
                number=step,
            )
        )
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            with self.accelerator.no_sync(self.wrapped) if not last else nullcontext():
                with self.accelerator.autocast():
                    losses = self.wrapped(part.to(self.accelerator.device), negatives)
                loss = sum(losses.values(), torch.zeros((), device=self.accelerator.device))
                # Wrappers average gradients over processes; the sum over the global batch is wanted.
                self.accelerator.backward(loss * (world / self.batches.mean_targets))
        self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self._means(windows.n_targets), self._base_rates[-1] * factor

    def _means(self, n_targets: int) -> dict[str, float]:
        """Return the task's losses of this step over all processes, per target."""
        measured = distributed.gather_objects(self.task.take_measured())
        # A process whose part has no target measured no term.
        names = dict.fromkeys(name for part in measured for name in part)
        return {name: float(sum(part.get(name, 0.0) for part in measured)) / n_targets for name in names}

    def _validate(self, progress: Progress, log: RunLog) -> None:
        if self.validate is None:
            save_weights(self.task.network, self.best_folder, self.identity)
            progress.finished = progress.epoch >= self.config.epochs
            return
        metrics = self.validate()
        self.wrapped.train()
        if self.config.metric not in metrics:
            raise InputError(
                f"trainer.metric={self.config.metric} is not measured; there are {sorted(metrics)}"
            )
        value = metrics[self.config.metric]
        log.write("eval", progress.step, {"epoch": progress.epoch, **metrics})
        if progress.best is None or value > progress.best:
            progress.best, progress.stale = value, 0
            save_weights(self.task.network, self.best_folder, self.identity)
        else:
            progress.stale += 1
        progress.finished = progress.stale >= self.config.patience or progress.epoch >= self.config.epochs
