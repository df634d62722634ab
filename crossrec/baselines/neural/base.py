"""Shared parts of the neural baselines: training on pairs, the click graph, graph convolution models."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix, diags
from torch import Tensor, nn

from crossrec.baselines.base import Baseline, TunableOptions
from crossrec.baselines.fold_in import UserRegression
from crossrec.baselines.negatives import UnclickedSampler
from crossrec.runtime.progress import progress_bar
from crossrec.types import Sequences


class PairSettings(Protocol):
    """Options of the training loop."""

    @property
    def epochs(self) -> int:
        """Number of passes over the clicks."""
        ...

    @property
    def batch_size(self) -> int:
        """Number of clicks per step."""
        ...

    @property
    def learning_rate(self) -> float:
        """Learning rate of Adam."""
        ...

    @property
    def seed(self) -> int:
        """Seed of order and negatives."""
        ...


class PairModule(nn.Module):
    """A network with a loss on pairs of a clicked and an unclicked item."""

    def loss(self, users_B: Tensor, clicked_B: Tensor, unclicked_B: Tensor) -> Tensor:
        """Return the mean loss of B triples of a user, a clicked item and an unclicked one."""
        raise NotImplementedError("a pair module implements loss()")


def train_pairs(module: PairModule, clicks_UN: csr_matrix, settings: PairSettings, name: str) -> None:
    """Train for the configured epochs; each visits every (user, item) once, with a new negative.

    Args:
        module: module to train; left in evaluation mode, on its device.
        clicks_UN: training clicks, at least one per row.
        settings: epochs, steps, rate, seed.
        name: name of the model in the progress bar.
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
    """Return the mean of -ln sigmoid(clicked - unclicked).

    Source:
        Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback".
    """
    return nn.functional.softplus(unclicked_B - clicked_B).mean()


def half_squares(*vectors_BD: Tensor) -> Tensor:
    """Return half the sum of the squared vectors, as a mean over the batch."""
    return sum((v.square().sum() for v in vectors_BD), torch.zeros(())) / (2 * len(vectors_BD[0]))


def normal_embedding(rows: int, width: int, std: float, generator: torch.Generator) -> nn.Parameter:
    """Return (rows, width) trained vectors, drawn from a normal distribution."""
    return nn.Parameter(torch.randn(rows, width, generator=generator) * std)


def training_device() -> torch.device:
    """Return the accelerator if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class ClickGraph:
    """Normalised clicks between U users and N items.

    An edge between user u and item i has weight 1 / sqrt(degree of u times degree of i); repeated clicks
    count once.

    Args:
        clicks_UN: training clicks.
        device: device of the propagation.
    """

    def __init__(self, clicks_UN: csr_matrix, device: torch.device) -> None:
        self.item_scale_N = _inverse_root(np.bincount(clicks_UN.indices, minlength=clicks_UN.shape[1]))
        weights_UN = normalised(clicks_UN, self.item_scale_N)
        self._to_users = _as_torch(weights_UN, device)
        self._to_items = _as_torch(weights_UN.T.tocsr(), device)

    def to_users(self, items_ND: Tensor) -> Tensor:
        """Return (U, D) weighted sums of each user's items."""
        return _Propagate.apply(items_ND, self._to_users, self._to_items)

    def to_items(self, users_UD: Tensor) -> Tensor:
        """Return (N, D) weighted sums of each item's users."""
        return _Propagate.apply(users_UD, self._to_items, self._to_users)

    def of_histories(self, histories_BN: csr_matrix) -> csr_matrix:
        """Return (B, N) float32 edges of new users: their own degrees, the items' degrees of training."""
        return normalised(histories_BN, self.item_scale_N)


def normalised(clicks_BN: csr_matrix, item_scale_N: np.ndarray) -> csr_matrix:
    """Return distinct items of each row, each divided by the roots of the row's and the item's degrees."""
    binary_BN = csr_matrix(
        (np.ones(len(clicks_BN.data)), clicks_BN.indices, clicks_BN.indptr), shape=clicks_BN.shape
    )
    row_scale = diags(_inverse_root(np.diff(clicks_BN.indptr)))
    return csr_matrix(row_scale @ binary_BN @ diags(item_scale_N), dtype=np.float32)


def _inverse_root(degrees: np.ndarray) -> np.ndarray:
    """Return 1 / sqrt(degree), 0 where there is no edge."""
    root = np.sqrt(degrees.astype(np.float64))
    return np.divide(1, root, out=np.zeros_like(root), where=root > 0)


class _Propagate(torch.autograd.Function):
    """A sparse product whose gradient is the product with the transpose, kept beside it."""

    @staticmethod
    def forward(context: Any, vectors: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        context.transposed = transposed
        return torch.sparse.mm(matrix, vectors)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return torch.sparse.mm(context.transposed, gradient.contiguous()), None, None


def _as_torch(matrix: csr_matrix, device: torch.device) -> Tensor:
    matrix.sort_indices()
    with warnings.catch_warnings():
        # PyTorch calls its CSR layout a beta; on a CPU it takes half of COO's time.
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support")
        warnings.filterwarnings("ignore", message=".*Sparse invariant checks")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            check_invariants=True,
        ).to(device)


class GraphOptions(TunableOptions):
    """Options of all graph convolution models.

    Args:
        width: width of the vectors, in every layer.
        layers: propagation steps.
        epochs: passes over the training clicks.
        batch_size: clicks in a step.
        learning_rate: learning rate of Adam.
        regularization: weight of a step's squared vectors, as a mean over its clicks.
        ridge: weight of the squared map from histories to user vectors, relative to the data's.
        seed: seed of initial weights, order and negatives.
    """

    width: int = Field(default=64, ge=1, le=65_536)
    layers: int = Field(default=2, ge=1, le=1_000)
    epochs: int = Field(default=60, ge=1, le=1_000_000)
    batch_size: int = Field(default=4096, ge=1, le=10_000_000)
    learning_rate: float = Field(default=0.01, gt=0, le=100)
    regularization: float = Field(default=0.0001, ge=0, le=1_000_000_000)
    ridge: float = Field(default=0.01, gt=0, le=1_000_000_000)
    seed: int = Field(default=0, ge=0)


STD = 0.1
"""Standard deviation of the initial vectors."""


class GraphModule(PairModule):
    """Learned vectors of users and items, and their propagation.

    Args:
        graph: graph of the training clicks.
        shape: (U, N).
        options: width, layers, regularisation, seed.
        generator: generator of the initial vectors, and of a subclass's weights after them.
    """

    def __init__(
        self, graph: ClickGraph, shape: tuple[int, int], options: GraphOptions, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.graph, self.options = graph, options
        self.users_UD = normal_embedding(shape[0], options.width, STD, generator)
        self.items_ND = normal_embedding(shape[1], options.width, STD, generator)

    @abstractmethod
    def layers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return users' (U, D) and items' (N, D) vectors in layers 0 to K."""

    @abstractmethod
    def join(self, layers: list[Tensor]) -> Tensor:
        """Return one vector per node from its layers."""

    def loss(self, users_B: Tensor, clicked_B: Tensor, unclicked_B: Tensor) -> Tensor:
        """Return the ranking loss of the joined layers, and the squares of layer 0 of the batch's vectors."""
        users, items = self.layers()
        user_UE, item_NE = self.join(users), self.join(items)
        user_BE, clicked_BE, unclicked_BE = user_UE[users_B], item_NE[clicked_B], item_NE[unclicked_B]
        ranking = ranking_loss((user_BE * clicked_BE).sum(1), (user_BE * unclicked_BE).sum(1))
        own = (self.users_UD[users_B], self.items_ND[clicked_B], self.items_ND[unclicked_B])
        return ranking + self.options.regularization * half_squares(*own)


class GraphBaseline(Baseline):
    """Base of graph convolution models: vectors propagated over the click graph, ranked by dot products.

    A history is a user outside the graph. Its layer 0, which training would have learned, is estimated by
    ridge regression on what it receives from the items' layer 0 (:class:`UserRegression`); its other layers
    follow from the model's equations, with the items' layers of the training graph and its own number of
    distinct items as its degree. A training user's contribution to its items' vectors stays in them; a new
    history adds none. The papers have no users outside the graph.

    An empty history gets the mean user. Items without training clicks score -inf.
    """

    options: GraphOptions

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        known_UN = csr_matrix(clicks_UN[np.diff(clicks_UN.indptr) > 0])
        device = training_device()
        graph = ClickGraph(known_UN, device)
        module = self._module(graph, known_UN.shape).to(device)
        train_pairs(module, known_UN, self.options, self.name)
        with torch.no_grad():
            users, items = ([layer.detach().cpu() for layer in layers] for layers in module.layers())
        self._module_of_fit = module.cpu()
        self._graph, self._item_layers = graph, [layer.numpy() for layer in items]
        received_UD = graph.of_histories(known_UN) @ self._item_layers[0]
        self._own_layer = UserRegression.fit(received_UD, users[0].numpy(), self.options.ridge)
        self._cold_N = torch.from_numpy(graph.item_scale_N == 0)

    @abstractmethod
    def _module(self, graph: ClickGraph, shape: tuple[int, int]) -> GraphModule:
        """Return the untrained module."""
