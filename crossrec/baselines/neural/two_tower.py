"""Two-tower model: the dot product of a user's pooled content and an item's content."""

from __future__ import annotations

import math
from itertools import product
from typing import Self

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from crossrec.baselines.base import Baseline, TunableOptions, history_matrix
from crossrec.baselines.content import centred_unit
from crossrec.baselines.negatives import UnclickedSampler
from crossrec.baselines.neural.base import training_device
from crossrec.data.item_table import ItemTable
from crossrec.runtime.progress import progress_bar
from crossrec.types import InputError, Sequences


class TwoTower(Baseline):
    """Two-tower model: the click probability is the sigmoid of the towers' dot product; scores are logits.

    The towers read content alone, so items without a training click are ranked like all others. Items
    without any content score -inf, and so does everything for a history without any.

    Args:
        options: modalities, widths, negatives, training.
        context: the catalogue, with vectors of the configured modalities.

    Raises:
        InputError: if the catalogue has no vectors of a modality or, in ``fit``, no user has two clicks.

    Source:
        Covington et al. 2016, "Deep neural networks for YouTube recommendations", for pooling; Yi et
        al. 2019, "Sampling-bias-corrected neural modeling for large corpus item recommendations", for
        towers and log-q correction (section 3.3), applied here to a sigmoid, not a softmax.
    """

    class Options(TunableOptions):
        """A user tower on the history's pooled content, an item tower on content, and their dot product.

        Args:
            modalities: modalities whose frozen vectors are content; several are concatenated.
            width: width of the towers' outputs.
            hidden: width of the towers' one hidden layer.
            recency: weight of a history click relative to the next later one.
            history: number of latest clicks of a history that are pooled.
            negatives: number of unclicked items for each click.
            power: exponent of the clicks in the probability of negatives; 0 is uniform.
            log_q: whether to subtract the log of a negative's sampling probability from its logit in
                training, so that popular items, drawn more often, are not penalised for it.
            epochs: passes over the training clicks.
            batch_size: clicks in a step.
            learning_rate: learning rate of Adam.
            regularization: Adam's decoupled weight decay.
            seed: seed of initial weights, order and negatives.
        """

        modalities: tuple[str, ...] = Field(default=("text",), min_length=1)
        width: int = Field(default=64, ge=1, le=65_536)
        hidden: int = Field(default=128, ge=1, le=65_536)
        recency: float = Field(default=0.9, gt=0, le=1)
        history: int = Field(default=50, ge=1)
        negatives: int = Field(default=50, ge=1, le=1_000_000)
        power: float = Field(default=0.75, ge=0, le=1)
        log_q: bool = True
        epochs: int = Field(default=10, ge=1, le=1_000_000)
        batch_size: int = Field(default=1024, ge=1, le=10_000_000)
        learning_rate: float = Field(default=0.003, gt=0, le=100)
        regularization: float = Field(default=0.01, ge=0, le=1_000_000_000)
        seed: int = Field(default=0, ge=0)

        @property
        def needs(self) -> tuple[str, ...]:
            """Item features that the baseline requires, by their names in :meth:`ItemTable.check`."""
            return self.modalities

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all of these modalities and widths."""
            return [
                self.model_copy(update={"recency": recency, "epochs": epochs, "log_q": log_q})
                for recency, epochs, log_q in product((1.0, 0.9, 0.7), (5, 10, 20), (True, False))
            ]

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, f"two-tower ({'+'.join(options.modalities)})")
        self.options = options
        parts = [centred_unit(items, modality, self.name) for modality in options.modalities]
        self._known_N = np.logical_or.reduce([items.present(modality) for modality in options.modalities])
        self._content_NW = np.concatenate(parts, axis=1)

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        rows, ends = _positions(train, self._known_N)
        if not len(rows):
            raise InputError(
                f"{self.name} learns to predict a click from those before it, but no user has two training "
                "clicks on items with content; lower data.split.n_last, or raise data.cleaning.k_users"
            )
        self._towers = Towers(self._content_NW.shape[1], self.options).to(training_device())
        self._train(train, rows, ends)
        self._towers.eval().cpu()
        with torch.no_grad():
            self._items_ND = self._towers.item(torch.from_numpy(self._content_NW))

    def _train(self, train: Sequences, rows: np.ndarray, ends: np.ndarray) -> None:
        options, device = self.options, training_device()
        counts_N = np.where(self._known_N, np.bincount(train.items, minlength=self.n_items), 0)
        chances_N = counts_N.astype(np.float64) ** options.power * self._known_N
        chances_N /= chances_N.sum()
        corrections_N = np.log(np.maximum(chances_N * options.negatives, 1e-12)) * options.log_q
        correction = torch.from_numpy(corrections_N.astype(np.float32)).to(device)
        content = torch.from_numpy(self._content_NW).to(device)
        sampler = UnclickedSampler(train, self.n_items, options.seed, chances_N)
        order = np.random.default_rng([options.seed, 1])
        optimiser = torch.optim.AdamW(
            self._towers.parameters(), lr=options.learning_rate, weight_decay=options.regularization
        )
        self._towers.train()
        with progress_bar(f"{self.name}: epochs", options.epochs) as advance:
            for _ in range(options.epochs):
                for batch in np.array_split(
                    order.permutation(len(rows)), math.ceil(len(rows) / options.batch_size)
                ):
                    targets = train.items[train.offsets[rows[batch]] + ends[batch]].astype(np.int64)
                    drawn = sampler.draw(np.repeat(rows[batch], options.negatives)).reshape(len(batch), -1)
                    ids_BK = torch.from_numpy(np.concatenate([targets[:, None], drawn], axis=1)).to(device)
                    pooled_BW, _ = self._pooled(train.take(rows[batch], ends[batch]))
                    user_BD = self._towers.user(torch.from_numpy(pooled_BW).to(device))
                    distinct, places_BK = ids_BK.unique(return_inverse=True)
                    item_BKD = self._towers.item(content[distinct])[places_BK]
                    logits_BK = torch.einsum("bd,bkd->bk", user_BD, item_BKD) + self._towers.bias
                    loss = click_loss(logits_BK - correction[ids_BK])
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()
                    optimiser.step()
                advance(1)

    def _pooled(self, histories: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """Return (B, W) decayed mean of the histories' content, and (B, 1) weight of clicks with content."""
        recent = histories.tail(self.options.history)
        weights_BN = history_matrix(recent, self.n_items, self.options.recency).astype(np.float32)
        totals_B1 = weights_BN @ self._known_N[:, None].astype(np.float32)
        sums_BW = weights_BN @ self._content_NW
        return np.divide(sums_BW, totals_B1, out=np.zeros_like(sums_BW), where=totals_B1 > 0), totals_B1

    @torch.no_grad()
    def _score(self, histories: Sequences) -> Tensor:
        history_matrix(histories, self.n_items)  # raises for an item outside the catalogue, however old
        pooled_BW, totals_B1 = self._pooled(histories)
        scores_BN = self._towers.user(torch.from_numpy(pooled_BW)) @ self._items_ND.T + self._towers.bias
        scores_BN.masked_fill_(torch.from_numpy(~self._known_N), -torch.inf)
        return scores_BN.masked_fill_(torch.from_numpy(totals_B1 <= 0), -torch.inf)


class Towers(nn.Module):
    """Two networks of one hidden layer, and a constant.

    Args:
        content_width: W.
        options: widths, seed.
    """

    def __init__(self, content_width: int, options: TwoTower.Options) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.user, self.item = (
                nn.Sequential(
                    nn.Linear(content_width, options.hidden),
                    nn.GELU(),
                    nn.Linear(options.hidden, options.width),
                )
                for _ in range(2)
            )
        self.bias = nn.Parameter(torch.zeros(()))


def click_loss(logits_BK: Tensor) -> Tensor:
    """Return the mean over B of the binary cross-entropy of a click in the first column, none in the others.

    Args:
        logits_BK: logit of the clicked item, then of drawn items, corrected for their sampling probability.
    """
    softplus = nn.functional.softplus
    return (softplus(-logits_BK[:, 0]) + softplus(logits_BK[:, 1:]).sum(1)).mean()


def _positions(train: Sequences, known_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and positions of target clicks: on items with content, after another such click."""
    known = known_N[train.items]
    row = train.row_of_click
    before = np.cumsum(known) - known
    first = np.asarray(train.offsets)[:-1]
    before_row = np.concatenate([[0], np.cumsum(known)])[first]
    usable = known & (before > before_row[row])
    place = np.arange(len(train.items)) - first[row]
    return row[usable], place[usable]
