"""Training on pairs: a clicked item should score above an unclicked one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from crossrec.baselines.negatives import UnclickedSampler
from crossrec.runtime.progress import progress_bar
from crossrec.types import Sequences


class PairSettings(Protocol):
    """What the loop reads of a configuration."""

    @property
    def epochs(self) -> int:
        """Passes over the clicks."""
        ...

    @property
    def batch_size(self) -> int:
        """Clicks in a step."""
        ...

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        ...

    @property
    def seed(self) -> int:
        """Of order and negatives."""
        ...


class PairModule(nn.Module):
    """A network that can say how badly it ranks some pairs."""

    def loss(self, users_B: Tensor, clicked_B: Tensor, unclicked_B: Tensor) -> Tensor:
        """The mean loss of B triples of a user, an item that was clicked and one that was not."""
        raise NotImplementedError("a pair module implements loss()")


def train_pairs(module: PairModule, clicks_UN: csr_matrix, settings: PairSettings, name: str) -> None:
    """Trains until the epochs are over; each epoch sees every (user, item) once, with a fresh negative.

    Args:
        module: left in evaluation mode, on the device where it was.
        clicks_UN: training clicks; every row holds one.
        settings: epochs, steps, rate, seed.
        name: what the progress bar calls the model.
    """
    device = next(module.parameters()).device
    users = np.repeat(np.arange(clicks_UN.shape[0]), np.diff(clicks_UN.indptr))
    clicked = clicks_UN.indices.astype(np.int64)
    rows = Sequences(clicks_UN.indptr.astype(np.int64), clicked)
    sampler = UnclickedSampler(rows, clicks_UN.shape[1], settings.seed)
    order = np.random.default_rng([settings.seed, 1])
    optimiser = torch.optim.Adam(module.parameters(), lr=settings.learning_rate, fused=True)
    module.train()
    with (
        torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]),
        progress_bar(f"{name}: epochs", settings.epochs) as advance,
    ):
        torch.manual_seed(settings.seed)  # of dropout
        for _ in range(settings.epochs):
            shuffled = order.permutation(len(users))
            triples = np.stack([users, clicked, sampler.draw(users)])[:, shuffled]
            for batch in torch.from_numpy(triples).split(settings.batch_size, dim=1):
                optimiser.zero_grad(set_to_none=True)
                module.loss(*batch.to(device)).backward()
                optimiser.step()
            advance(1)
    module.eval()


def ranking_loss(clicked_B: Tensor, unclicked_B: Tensor) -> Tensor:
    """Mean of -ln sigmoid(clicked - unclicked).

    Source:
        Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback".
    """
    return nn.functional.softplus(unclicked_B - clicked_B).mean()


def half_squares(*vectors_BD: Tensor) -> Tensor:
    """Half the sum of the squared vectors, as a mean over the batch."""
    return sum((v.square().sum() for v in vectors_BD), torch.zeros(())) / (2 * len(vectors_BD[0]))


def normal_embedding(rows: int, width: int, std: float, generator: torch.Generator) -> nn.Parameter:
    """(rows, width) trained vectors, drawn from a normal distribution."""
    return nn.Parameter(torch.randn(rows, width, generator=generator) * std)


def training_device() -> torch.device:
    """The accelerator if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
