"""VBPR: matrix factorization by pairwise ranking, with visual factors."""

from __future__ import annotations

from itertools import product
from typing import Self

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.baselines.base import Baseline, TunableOptions, history_matrix
from crossrec.baselines.content import centred_unit
from crossrec.baselines.fold_in import UserRegression, summed_items
from crossrec.baselines.neural.base import (
    PairModule,
    half_squares,
    normal_embedding,
    ranking_loss,
    train_pairs,
    training_device,
)
from crossrec.data.item_table import ItemTable
from crossrec.types import Sequences


class VBPR(Baseline):
    """Visual BPR: scores from latent vectors, projected pictures, and biases of both.

    A user's latent and visual vectors are estimated from the history by a map that ridge regression learns
    from the training users (:class:`UserRegression`); an empty history gets the mean user. An item
    without training clicks has no latent vector and no bias of its own, and is ranked by its picture
    alone; without a picture, it scores -inf.

    Args:
        options: modality, widths, training.
        context: the catalogue, with vectors of the configured modality.

    Raises:
        InputError: if the catalogue has no vectors of that modality.

    Source:
        He and McAuley 2016, "VBPR: visual Bayesian personalized ranking from implicit feedback",
        equations 4 and 5. The paper has no users that training did not see; pictures' vectors are
        centred and of unit length here.
    """

    class Options(TunableOptions):
        """Matrix factorization by BPR with visual factors.

        Args:
            modality: modality of the frozen vectors; ``image`` in the paper.
            width: width of the latent vectors.
            visual_width: width of the projected picture vectors.
            epochs: passes over the training clicks.
            batch_size: clicks in a step.
            learning_rate: learning rate of Adam.
            regularization: weight of a step's squared vectors, as a mean over its clicks.
            ridge: weight of the squared map from histories to user vectors, relative to the data's.
            seed: seed of initial weights, order and negatives.
        """

        modality: str = "image"
        width: int = Field(default=32, ge=1, le=65_536)
        visual_width: int = Field(default=32, ge=1, le=65_536)
        epochs: int = Field(default=60, ge=1, le=1_000_000)
        batch_size: int = Field(default=4096, ge=1, le=10_000_000)
        learning_rate: float = Field(default=0.01, gt=0, le=100)
        regularization: float = Field(default=0.01, ge=0, le=1_000_000_000)
        ridge: float = Field(default=0.01, gt=0, le=1_000_000_000)
        seed: int = Field(default=0, ge=0)

        @property
        def needs(self) -> tuple[str, ...]:
            """Item features that the baseline requires, by their names in :meth:`ItemTable.check`."""
            return (self.modality,)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all with this modality and seed."""
            return [
                self.model_copy(update={"width": width, "regularization": regularization, "epochs": epochs})
                for width, regularization, epochs in product((16, 32, 64), (1e-3, 1e-2, 1e-1), (30, 60))
            ]

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, "VBPR")
        self.options = options
        self._pictures_NW = centred_unit(items, options.modality, self.name)
        self._present_N = items.present(options.modality)

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        known_UN = csr_matrix(clicks_UN[np.diff(clicks_UN.indptr) > 0])
        device = training_device()
        module = VBPRModule(torch.from_numpy(self._pictures_NW), known_UN.shape[0], self.options).to(device)
        train_pairs(module, known_UN, self.options, self.name)
        warm_N = torch.from_numpy(np.bincount(known_UN.indices, minlength=self.n_items) > 0)
        with torch.no_grad():
            users_UD, items_ND, bias_N = (part.cpu() for part in module.cpu().joined(warm_N))
        self._items_ND = items_ND
        self._bias_N = bias_N.masked_fill(~warm_N & ~torch.from_numpy(self._present_N), -torch.inf)
        sums_UD = summed_items(known_UN, items_ND.numpy())
        self._user_vector = UserRegression.fit(sums_UD, users_UD.numpy(), self.options.ridge)

    def _score(self, histories: Sequences) -> Tensor:
        clicks_BN = history_matrix(histories, self.n_items)
        users_BD = torch.from_numpy(self._user_vector(summed_items(clicks_BN, self._items_ND.numpy())))
        return torch.addmm(self._bias_N, users_BD, self._items_ND.T)


class VBPRModule(PairModule):
    """Learned vectors and projections.

    Args:
        pictures_NW: frozen vectors, zeros where an item has no picture.
        n_users: U.
        options: widths, regularisation, seed.
    """

    pictures_NW: Tensor

    def __init__(self, pictures_NW: Tensor, n_users: int, options: VBPR.Options) -> None:
        super().__init__()
        self.options = options
        n_items, picture_width = pictures_NW.shape
        self.register_buffer("pictures_NW", pictures_NW, persistent=False)
        generator = torch.Generator().manual_seed(options.seed)
        self.users_UD = normal_embedding(n_users, options.width, 0.1, generator)
        self.items_ND = normal_embedding(n_items, options.width, 0.1, generator)
        self.visual_users_UV = normal_embedding(n_users, options.visual_width, 0.1, generator)
        self.projection_WV = normal_embedding(
            picture_width, options.visual_width, picture_width**-0.5, generator
        )
        self.bias_N = torch.nn.Parameter(torch.zeros(n_items))
        self.visual_bias_W = torch.nn.Parameter(torch.zeros(picture_width))

    def joined(self, warm_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return concatenated latent and visual vectors of users and items, and the items' total bias.

        Args:
            warm_N: bool, items that keep their latent vector and their own bias.
        """
        visual_NV = self.pictures_NW @ self.projection_WV
        own_N1 = warm_N[:, None].to(visual_NV.dtype)
        items_ND = torch.cat([self.items_ND * own_N1, visual_NV], 1)
        bias_N = self.bias_N * own_N1[:, 0] + self.pictures_NW @ self.visual_bias_W
        return torch.cat([self.users_UD, self.visual_users_UV], 1), items_ND, bias_N

    def loss(self, users_B: Tensor, clicked_B: Tensor, unclicked_B: Tensor) -> Tensor:
        """Return the ranking loss, and half the squares of the batch's vectors, biases and projections."""
        users_BD = torch.cat([self.users_UD[users_B], self.visual_users_UV[users_B]], 1)
        # Each item's picture is projected once per batch.
        distinct, places_2B = torch.cat([clicked_B, unclicked_B]).unique(return_inverse=True)
        pictures_KW = self.pictures_NW[distinct]
        items_KD = torch.cat([self.items_ND[distinct], pictures_KW @ self.projection_WV], 1)
        bias_K = self.bias_N[distinct] + pictures_KW @ self.visual_bias_W
        clicked_B, unclicked_B = places_2B.chunk(2)
        scores = [(users_BD * items_KD[i]).sum(1) + bias_K[i] for i in (clicked_B, unclicked_B)]
        width = self.options.width
        own = half_squares(
            users_BD,
            *(items_KD[i, :width] for i in (clicked_B, unclicked_B)),
            *(self.bias_N[distinct[i], None] for i in (clicked_B, unclicked_B)),
        )
        shared = (self.projection_WV.square().sum() + self.visual_bias_W.square().sum()) / 2
        penalty = own + shared / len(self.bias_N)
        return ranking_loss(*scores) + self.options.regularization * penalty
