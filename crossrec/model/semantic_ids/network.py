"""Network that generates the codes of the next item."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.semantic_ids.decoder import CodeDecoder
from crossrec.model.semantic_ids.quantiser import SemanticIds
from crossrec.model.semantic_ids.trie import Trie
from crossrec.model.sequence.base import SequenceModel
from crossrec.model.sequence.semantic_id import SemanticId
from crossrec.types import InputError
from crossrec.vectors import centred_rows, unit_rows

DECODED_AT_ONCE = 16_384
"""Number of prefixes that the decoder reads at a time."""


class GenerativeNetwork(SequentialNetwork):
    """Network whose scores are log-probabilities of an item's codes, level by level.

    ``score(item | history) = sum over levels of log p(code | history, codes before)``, where p is a softmax
    over the codes that follow the same prefix in the training items. An item without training clicks is
    compared with these in the same way, so that scores of other items don't depend on it; a prefix that no
    training item has passes its own score on to all items that begin with it.

    Args:
        items, sequence, n_items: as in :class:`SequentialNetwork`.
        ids: codes of the items.
        decoder: decoder of the codes.
        beam: number of prefixes kept per level by a search.
        similarity: ``cosine`` for item vectors of unit length.

    Source:
        Rajput et al. 2023, Recommender Systems with Generative Retrieval (TIGER). Theirs encodes a history as
        the codes of its items, one after the other; here an item is one vector, the sum of its code
        embeddings and of the fused modalities. The softmax over existing codes alone is not theirs.
    """

    def __init__(
        self,
        items: ItemEncoder,
        sequence: SequenceModel,
        n_items: int,
        *,
        ids: SemanticIds,
        decoder: CodeDecoder,
        beam: int,
        similarity: Literal["cosine", "dot"],
    ) -> None:
        super().__init__(items, sequence, n_items, similarity=similarity, temperature=1.0)
        self.ids = ids
        self.decoder = decoder
        self.beam = beam
        self._trie: Trie | None = None
        self.register_load_state_dict_post_hook(_fill_codes)

    @property
    def trie(self) -> Trie:
        """Prefix tree of the codes of the current catalogue."""
        if self._trie is None or self._trie.leaf_items.device != self.ids.table.device:
            self._trie = self.ids.trie()
        return self._trie

    def item_vectors(self, items_K: Tensor, shown: Collection[str] | None = None) -> Tensor:
        """Return (K, D) vectors of items in histories: fused modalities plus code embeddings.

        Args:
            items_K: catalogue indices.
            shown: names of the modalities to read; codes are read only beside all those they are made of.
        """
        vectors_KD = self.items(items_K, shown)
        if shown is None or set(content_modalities(self.items)) <= set(shown):
            parts_KD = self.decoder.item_parts(self.ids.codes[items_K])
            vectors_KD = vectors_KD + parts_KD.to(vectors_KD.dtype)
        return F.normalize(vectors_KD.float(), dim=-1) if self.normalise else vectors_KD

    def queries(self, hidden: Tensor) -> Tensor:
        """Return hidden states as they are: the decoder reads them."""
        return hidden

    def grow(self, count: int) -> None:
        """Give codes to items whose content has been appended to the modalities."""
        rows = np.arange(self.n_items, self.n_items + count)
        super().grow(count)
        self.ids.append(content_rows(self.items, rows))
        self._trie = None

    def fill_codes(self) -> None:
        """Give codes to items that the loaded weights don't know."""
        rows = self.ids.unfilled
        if len(rows):
            self.ids.fill(rows, content_rows(self.items, rows))
        self._trie = None

    def losses(self, hidden_TD: Tensor, items_T: Tensor) -> Tensor:
        """Return (T,) negative log-likelihoods of items with training clicks, float32.

        Args:
            hidden_TD: states of histories.
            items_T: catalogue indices.
        """
        trie, codes_TC = self.trie, self.ids.codes[items_T]
        states = self.decoder.states(hidden_TD, codes_TC[:, :-1])
        losses_T = torch.zeros(len(items_T), device=hidden_TD.device)
        for level in range(codes_TC.shape[1]):
            here, after = trie.depths[level], trie.depths[level + 1]
            nodes_T = here.node_N[items_T]
            rows_M = torch.nonzero(here.branches_P[nodes_T]).squeeze(1)
            if len(rows_M):
                places_R, kids_R = trie.children(level, nodes_T[rows_M])
                logits_R, total_M = self._child_logits(level, states[rows_M, level], places_R, kids_R)
                target_Q = torch.nonzero(kids_R == after.node_N[items_T[rows_M]][places_R]).squeeze(1)
                losses_T = losses_T.index_add(0, rows_M, total_M - logits_R[target_Q])
        return losses_T

    def _child_logits(
        self, level: int, states_MD: Tensor, places_R: Tensor, kids_R: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (R,) logits of children, and (M,) the log of the summed weights of the trained ones.

        Args:
            level: level of the children's last code.
            states_MD: states of the decoder at M nodes.
            places_R: place of each child's parent among the M.
            kids_R: number of the child.
        """
        after = self.trie.depths[level + 1]
        codes_R = after.paths_PD[kids_R, level]
        logits_MK = self.decoder.logits(level, states_MD)
        logits_R = logits_MK[places_R, codes_R]
        further_R = self.decoder.prefix_logits(states_MD, places_R, after.own_P[kids_R])
        if further_R is not None:
            logits_R = logits_R + further_R
        trained_R = after.trained_P[kids_R]
        among = (places_R[trained_R], codes_R[trained_R])
        dense_MK = torch.full_like(logits_MK, -torch.inf).index_put(among, logits_R[trained_R])
        return logits_R, dense_MK.logsumexp(1)

    @torch.no_grad()
    def expand(self, depth: int, hidden_MD: Tensor, nodes_M: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the children of nodes that lead to items of the catalogue, with their log-probabilities.

        Args:
            depth: depth of the nodes.
            hidden_MD: state of the history of each.
            nodes_M: numbers of the nodes.

        Returns:
            (R,) place of the parent among the M, (R,) number of the child, and (R,) log-probability.
        """
        here = self.trie.depths[depth]
        places_R, kids_R = self.trie.children(depth, nodes_M)
        scores_R = torch.zeros(len(kids_R), device=hidden_MD.device)
        where = torch.full_like(nodes_M, -1)
        for rows_S in torch.nonzero(here.branches_P[nodes_M]).squeeze(1).split(DECODED_AT_ONCE):
            states = self.decoder.states(hidden_MD[rows_S], here.paths_PD[nodes_M[rows_S]])[:, -1]
            where.fill_(-1)
            where[rows_S] = torch.arange(len(rows_S), device=where.device)
            own_Q = torch.nonzero(where[places_R] >= 0).squeeze(1)
            at_Q = where[places_R[own_Q]]
            logits_Q, total_S = self._child_logits(depth, states, at_Q, kids_R[own_Q])
            scores_R[own_Q] = logits_Q - total_S[at_Q]
        listed_R = self.trie.depths[depth + 1].listed_P[kids_R]
        return places_R[listed_R], kids_R[listed_R], scores_R[listed_R]


def content_modalities(items: ItemEncoder) -> list[str]:
    """Return the names of the modalities that codes are made of: those with frozen features."""
    return [name for name, modality in items.modalities.items() if isinstance(modality, FrozenFeatures)]


def content_rows(items: ItemEncoder, rows_K: np.ndarray) -> np.ndarray:
    """Return (K, W) float32 content vectors: frozen features, each of unit length about its mean.

    A modality that an item lacks is zero.

    Raises:
        InputError: if the model has no frozen features.
    """
    parts = []
    for name in content_modalities(items):
        modality = items.modalities[name]
        assert isinstance(modality, FrozenFeatures)
        present_K = modality.present[torch.from_numpy(rows_K).to(modality.present.device)].cpu().numpy()
        raw_KW = np.asarray(modality.raw(rows_K), np.float32)
        parts.append(unit_rows(centred_rows(raw_KW, present_K, modality.mean.cpu().numpy())))
    if not parts:
        raise InputError(
            "model.sequence.type=semantic_id makes ids of frozen content, and the model has none: give it a "
            "frozen encoder, such as model.text={training: frozen}, or another sequence model"
        )
    return np.concatenate(parts, axis=1)


def _fill_codes(network: nn.Module, _: object) -> None:
    assert isinstance(network, GenerativeNetwork)
    network.fill_codes()


def new_ids(
    items: ItemEncoder, options: SemanticId.Options, train_counts: np.ndarray, seed: int
) -> SemanticIds:
    """Return ids of the items by their frozen features.

    Args:
        items: encoder of the items.
        options: numbers of codes and levels.
        train_counts: (N,) training clicks.
        seed: seed of the codebooks.

    Raises:
        InputError: if the model has no frozen features.
    """
    vectors_NW = content_rows(items, np.arange(len(train_counts)))
    return SemanticIds.fitted(vectors_NW, train_counts, options.codes, options.levels, seed)


def saved_ids(saved: Mapping[str, Tensor], prefix: str = "ids.") -> SemanticIds | None:
    """Return the ids of a trained network's weights; None if there are none."""
    own = {name.removeprefix(prefix): tensor for name, tensor in saved.items() if name.startswith(prefix)}
    if not own:
        return None
    last = f"decoder.embeddings.{own['table'].shape[1] - 1}.weight"
    return SemanticIds.saved(own, len(saved[last]))
