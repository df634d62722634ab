"""Tuning of a text scorer on the next clicks of the training log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from crossrec.model.text_scorer import TextScorer
from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path, is_sound, write_checksum
from crossrec.runtime.progress import progress_bar
from crossrec.training.checkpoint import trained_state
from crossrec.training.config import TrainerConfig
from crossrec.training.trainer import rate_factor
from crossrec.types import ABSENT, InputError, Recommender, Sequences

logger = logging.getLogger(__name__)

PROGRESS = "progress.safetensors"
STEP = "step"
WEIGHTS, MEAN, SQUARE = "weights.", "exp_avg.", "exp_avg_sq."
CLIP = 1.0
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Examples:
    """Training clicks, each with its history and its candidates.

    Args:
        histories: E rows, the clicks before each target.
        candidates_EK: target first, then the negatives; ``ABSENT`` where there are fewer.
    """

    histories: Sequences
    candidates_EK: np.ndarray

    def __len__(self) -> int:
        return len(self.candidates_EK)


def sample_examples(
    train: Sequences,
    first: Recommender,
    scorer: TextScorer,
    counts_N: np.ndarray,
    *,
    exclude_seen: bool,
    seed: int,
) -> Examples:
    """Draw the training clicks of all steps, with negatives.

    A share ``hard_negatives`` of the negatives is from the first stage's candidates for the history, the
    others are drawn by popularity, so that neither the first stage's mistakes nor popularity alone tell the
    target. The first stage has been trained on these clicks and ranks the target higher than it would rank a
    new one; therefore the text scorer is trained without the first stage's scores, by the clicks alone.

    Args:
        train: training clicks, one row per user.
        first: trained first stage.
        scorer: scorer, whose options say how many are drawn.
        counts_N: training clicks of each item.
        exclude_seen: whether an item of the history can't be a negative.
        seed: seed.

    Raises:
        InputError: if there is no click on an item with a title after another one.
    """
    options, has_title = scorer.options, scorer.has_title
    rng = np.random.default_rng((seed, 3))
    within = np.arange(len(train.items)) - np.repeat(train.offsets[:-1], train.lengths)
    titled = has_title[train.items]
    count = np.concatenate([[0], np.cumsum(titled)])
    read_before = count[:-1] - np.repeat(count[train.offsets[:-1]], train.lengths)
    clicks = np.flatnonzero(titled & (read_before > 0))
    if not len(clicks):
        raise InputError(
            f"text_scorer: no training click on an item with a title ('{options.column}') follows another "
            "one; set text_scorer=null, or give the items titles"
        )
    wanted = options.steps * options.batch_size
    chosen = np.concatenate([rng.permutation(clicks) for _ in range(-(-wanted // len(clicks)) or 1)])[:wanted]
    histories = train.take(train.row_of_click[chosen], within[chosen])
    targets_E = np.asarray(train.items[chosen], np.int64)
    n_hard = round(options.negatives * options.hard_negatives)
    pools_EC = np.full((len(targets_E), 1), ABSENT)
    if n_hard and len(targets_E):
        share = distributed.shard(len(targets_E))
        own = histories.take(np.arange(len(targets_E))[share])
        found = first.recommend(own, min(options.candidates, first.n_items), own if exclude_seen else None)
        pools_EC = distributed.gather_rows(found.ids)
    candidates_EK = np.full((len(targets_E), 1 + options.negatives), ABSENT)
    candidates_EK[:, 0] = targets_E
    popular = np.flatnonzero(has_title & (counts_N > 0))
    chances = counts_N[popular] / counts_N[popular].sum()
    for row, (target, pool) in enumerate(zip(targets_E.tolist(), pools_EC, strict=True)):
        barred = {target, *(histories.row(row).tolist() if exclude_seen else ())}
        hard = [i for i in pool.tolist() if i != ABSENT and i not in barred and has_title[i]]
        drawn = rng.permutation(hard)[:n_hard].tolist() if hard else []
        # Repeats and barred items are dropped, so more are drawn than needed.
        others = rng.choice(popular, 4 * options.negatives + len(barred), p=chances).tolist()
        drawn += [item for item in dict.fromkeys(others) if item not in barred and item not in drawn]
        drawn = [int(item) for item in drawn[: options.negatives]]
        candidates_EK[row, 1 : 1 + len(drawn)] = drawn
    return Examples(histories, candidates_EK)


def tune(
    scorer: TextScorer,
    examples: Examples,
    item_vectors: Tensor | None,
    folder: Path,
    *,
    seed: int,
    checkpoint_every: int,
    write: Callable[[int, float], None] = lambda step, loss: None,
) -> float:
    """Tune the scorer in place by the softmax of each target among its candidates; every process must call.

    A killed tuning is resumed from the last checkpoint in the folder and repeats an unbroken one.

    Args:
        scorer: scorer on its device.
        examples: clicks of all steps.
        item_vectors: the first stage's item vectors, for ``item_tokens``.
        folder: folder of the checkpoint.
        seed: seed of dropout.
        checkpoint_every: steps between checkpoints.
        write: function of step and loss, for the log.

    Returns:
        Mean loss of the last tenth of the steps; NaN without steps.

    Raises:
        InputError: if the loss is not finite.
    """
    options = scorer.options
    trained = {name: p for name, p in scorer.named_parameters() if p.requires_grad}
    groups = [
        {"params": [p for p in trained.values() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trained.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=options.lr)
    path = folder / PROGRESS
    step = _resume(scorer, optimizer, trained, path) if is_sound(path) else 0
    losses: list[float] = []
    cuda = [scorer.device] if scorer.device.type == "cuda" else []
    schedule = TrainerConfig()
    with (
        torch.random.fork_rng(devices=cuda),
        progress_bar("text scorer", options.steps, done=step) as advance,
    ):
        while step < options.steps:
            for group in optimizer.param_groups:
                group["lr"] = options.lr * rate_factor((step + 0.5) / options.steps, schedule)
            torch.manual_seed(hash((seed, step, distributed.rank())) % 2**63)
            loss = _step(scorer, optimizer, examples, step, item_vectors)
            if not np.isfinite(loss):
                raise InputError(
                    f"text_scorer: the loss is {loss} at step {step + 1}: the tuning has diverged; lower "
                    f"text_scorer.lr ({options.lr:g})"
                )
            step += 1
            losses.append(loss)
            write(step, loss)
            advance(1)
            if step % checkpoint_every == 0 and step < options.steps:
                _save(scorer, optimizer, trained, path, step)
    scorer.eval()
    last = losses[-max(options.steps // 10, 1) :]
    return float(np.mean(last)) if last else float("nan")


def _step(
    scorer: TextScorer,
    optimizer: torch.optim.Optimizer,
    examples: Examples,
    step: int,
    item_vectors: Tensor | None,
) -> float:
    """Do one step; return the mean loss over all processes."""
    size = scorer.options.batch_size
    rows = np.arange(step * size, (step + 1) * size)
    own = rows[distributed.shard(len(rows))]
    scorer.train()
    optimizer.zero_grad(set_to_none=False)
    total = 0.0
    if len(own):
        candidates_BK = examples.candidates_EK[own]
        scores_BK = scorer(examples.histories.take(own), candidates_BK, item_vectors)
        absent_BK = torch.from_numpy(candidates_BK == ABSENT).to(scores_BK.device)
        scores_BK = scores_BK.masked_fill(absent_BK, -torch.inf)
        target_B = torch.zeros(len(own), dtype=torch.long, device=scores_BK.device)
        loss = F.cross_entropy(scores_BK, target_B, reduction="sum") / size
        loss.backward()
        total = float(loss.detach())
    parameters = [p for p in scorer.parameters() if p.requires_grad]
    if distributed.world_size() > 1:
        _sum_gradients(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, CLIP)
    optimizer.step()
    return float(sum(distributed.gather_objects(total)))


def _sum_gradients(parameters: list[torch.nn.Parameter]) -> None:
    import torch.distributed

    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        torch.distributed.all_reduce(parameter.grad)


def _save(
    scorer: TextScorer,
    optimizer: torch.optim.Optimizer,
    trained: dict[str, torch.nn.Parameter],
    path: Path,
    step: int,
) -> None:
    from safetensors.torch import save_file

    if distributed.is_main():
        tensors = {f"{WEIGHTS}{name}": value for name, value in trained_state(scorer).items()}
        for name, parameter in trained.items():
            state = optimizer.state.get(parameter)
            if state is None:  # no gradient so far
                continue
            for prefix, key in ((MEAN, "exp_avg"), (SQUARE, "exp_avg_sq")):
                tensors[f"{prefix}{name}"] = state[key].detach().cpu().contiguous()
        tensors[STEP] = torch.tensor(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            save_file(tensors, temporary)
        write_checksum(path)
    distributed.barrier()


def _resume(
    scorer: TextScorer,
    optimizer: torch.optim.Optimizer,
    trained: dict[str, torch.nn.Parameter],
    path: Path,
) -> int:
    """Load a checkpoint; return the steps done."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    step = int(tensors[STEP])
    own = {n.removeprefix(WEIGHTS): t for n, t in tensors.items() if n.startswith(WEIGHTS)}
    scorer.load_state_dict(own, strict=False)
    for name, parameter in trained.items():
        if f"{MEAN}{name}" not in tensors:
            continue
        optimizer.state[parameter] = {
            "step": torch.tensor(float(step)),
            "exp_avg": tensors[f"{MEAN}{name}"].to(parameter),
            "exp_avg_sq": tensors[f"{SQUARE}{name}"].to(parameter),
        }
    logger.info("resuming the text scorer at step %d", step)
    return step
