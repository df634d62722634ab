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
from crossrec.model.semantic_ids.quantiser import SemanticIds, co_click_map
from crossrec.model.semantic_ids.trie import Trie
from crossrec.model.sequence.base import SequenceModel
from crossrec.model.sequence.semantic_id import SemanticId
from crossrec.types import InputError, Sequences
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
        prefix_vectors: whether a prefix is also scored by the mean vector of its training items; without any,
            by the vector of its first item.

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
        prefix_vectors: bool = True,
    ) -> None:
        super().__init__(items, sequence, n_items, similarity=similarity, temperature=1.0)
        self.ids = ids
        self.decoder = decoder
        self.beam = beam
        self.prefix_vectors = prefix_vectors
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
        self.ids.append(self._content(rows))
        self._trie = None

    def fill_codes(self) -> None:
        """Give codes to items that the loaded weights don't know."""
        rows = self.ids.unfilled
        if len(rows):
            self.ids.fill(rows, self._content(rows))
        self._trie = None

    def _content(self, rows_K: np.ndarray) -> np.ndarray:
        return content_rows(self.items, rows_K, whitened=self.ids.map.numel() > 0)

    def node_vectors(self, vectors_MD: Tensor, items_M: Tensor | None = None) -> list[Tensor]:
        """Return the (P, D) output vectors of the nodes of each depth: mean item vectors, scaled.

        Args:
            vectors_MD: vectors of all trained items at least; others count as zeros.
            items_M: their catalogue indices; all items when None.
        """
        scaled_MD = vectors_MD.float() * (1.0 if self.normalise else vectors_MD.shape[1] ** -0.5)
        found = []
        for depth in self.trie.depths:
            nodes_M, shares_M = depth.node_N, depth.shares_N
            if items_M is not None:
                nodes_M, shares_M = nodes_M[items_M], shares_M[items_M]
            nothing = scaled_MD.new_zeros(len(depth), scaled_MD.shape[1])
            found.append(nothing.index_add(0, nodes_M, scaled_MD * shares_M[:, None]))
        return found

    def losses(self, hidden_TD: Tensor, targets_T: Tensor, vectors_MD: Tensor, items_M: Tensor) -> Tensor:
        """Return (T,) negative log-likelihoods of items with training clicks, float32.

        Args:
            hidden_TD: states of histories.
            targets_T: catalogue indices.
            vectors_MD: vectors of all items with training clicks.
            items_M: their catalogue indices.
        """
        trie, codes_TC = self.trie, self.ids.codes[targets_T]
        nodes = self.node_vectors(vectors_MD, items_M) if self.prefix_vectors else None
        states = self.decoder.states(hidden_TD, codes_TC[:, :-1])
        losses_T = torch.zeros(len(targets_T), device=hidden_TD.device)
        for level in range(codes_TC.shape[1]):
            here, after = trie.depths[level], trie.depths[level + 1]
            nodes_T = here.node_N[targets_T]
            rows_M = torch.nonzero(here.branches_P[nodes_T]).squeeze(1)
            if len(rows_M):
                places_R, kids_R = trie.children(level, nodes_T[rows_M])
                trained_R = after.trained_P[kids_R]
                places_R, kids_R = places_R[trained_R], kids_R[trained_R]
                logits_R, total_M = self._child_logits(level, states[rows_M, level], places_R, kids_R, nodes)
                target_Q = torch.nonzero(kids_R == after.node_N[targets_T[rows_M]][places_R]).squeeze(1)
                losses_T = losses_T.index_add(0, rows_M, total_M - logits_R[target_Q])
        return losses_T

    def _child_logits(
        self, level: int, states_MD: Tensor, places_R: Tensor, kids_R: Tensor, nodes: list[Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Return (R,) logits of children, and (M,) the log of the summed weights of the trained ones.

        Args:
            level: level of the children's last code.
            states_MD: states of the decoder at M nodes.
            places_R: place of each child's parent among the M.
            kids_R: number of the child.
            nodes: output vectors of the nodes of each depth; None for those of codes alone.
        """
        after = self.trie.depths[level + 1]
        codes_R = after.paths_PD[kids_R, level]
        logits_MK = self.decoder.logits(level, states_MD)
        logits_R = logits_MK[places_R, codes_R]
        if nodes is not None and level == 0:
            logits_R = logits_R + (states_MD.float() @ nodes[1].T)[places_R, kids_R]
        elif nodes is not None:
            states_RD, nodes_RD = (
                F.embedding(places_R, states_MD).float(),
                F.embedding(kids_R, nodes[level + 1]),
            )
            logits_R = logits_R + (states_RD * nodes_RD).sum(1)
        trained_R = after.trained_P[kids_R]
        among = (places_R[trained_R], codes_R[trained_R])
        dense_MK = torch.full_like(logits_MK, -torch.inf).index_put(among, logits_R[trained_R])
        return logits_R, dense_MK.logsumexp(1)

    @torch.no_grad()
    def expand(
        self, depth: int, hidden_MD: Tensor, nodes_M: Tensor, nodes: list[Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the children of nodes with their log-probabilities.

        Args:
            depth: depth of the nodes.
            hidden_MD: state of the history of each.
            nodes_M: numbers of the nodes.
            nodes: output vectors of the nodes of each depth; None for those of codes alone.

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
            logits_Q, total_S = self._child_logits(depth, states, at_Q, kids_R[own_Q], nodes)
            scores_R[own_Q] = logits_Q - total_S[at_Q]
        return places_R, kids_R, scores_R


def content_modalities(items: ItemEncoder) -> list[str]:
    """Return the names of the modalities that codes are made of: those with frozen features."""
    return [name for name, modality in items.modalities.items() if isinstance(modality, FrozenFeatures)]


def content_rows(items: ItemEncoder, rows_K: np.ndarray, *, whitened: bool) -> np.ndarray:
    """Return (K, W) float32 content vectors: frozen features, each of unit length about its mean.

    A modality that an item lacks is zero.

    Args:
        items: encoder of the items.
        rows_K: catalogue indices.
        whitened: whether to take the features as the model reads them, usually whitened.

    Raises:
        InputError: if the model has no frozen features.
    """
    parts = []
    for name in content_modalities(items):
        modality = items.modalities[name]
        assert isinstance(modality, FrozenFeatures)
        here_K = torch.from_numpy(rows_K).to(modality.present.device)
        present_K = modality.present[here_K].cpu().numpy()
        if whitened:
            read_KW = np.where(present_K[:, None], FrozenFeatures.forward(modality, here_K).cpu().numpy(), 0)
        else:
            raw_KW = np.asarray(modality.raw(rows_K), np.float32)
            read_KW = centred_rows(raw_KW, present_K, modality.mean.cpu().numpy())
        parts.append(unit_rows(read_KW))
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
    items: ItemEncoder,
    options: SemanticId.Options,
    train_counts: np.ndarray,
    seed: int,
    train: Sequences | None = None,
) -> SemanticIds:
    """Return ids of the items by their frozen features.

    Args:
        items: encoder of the items.
        options: numbers of codes and levels.
        train_counts: (N,) training clicks.
        seed: seed of the codebooks.
        train: training clicks, for codebooks of co-clicks.

    Raises:
        InputError: if the model has no frozen features.
        ValueError: if codebooks are of co-clicks, and there are no clicks.
    """
    rows, co_clicks = np.arange(len(train_counts)), options.codebooks == "clicks"
    vectors_NW, map_WV = content_rows(items, rows, whitened=co_clicks), None
    if co_clicks:
        if train is None:
            raise ValueError("model.sequence.codebooks=clicks needs the training clicks")
        map_WV = co_click_map(vectors_NW, train)
    return SemanticIds.fitted(vectors_NW, train_counts, options.codes, options.levels, seed, map_WV)


def saved_ids(saved: Mapping[str, Tensor], prefix: str = "ids.") -> SemanticIds | None:
    """Return the ids of a trained network's weights; None if there are none."""
    own = {name.removeprefix(prefix): tensor for name, tensor in saved.items() if name.startswith(prefix)}
    if not own:
        return None
    last = f"decoder.embeddings.{own['table'].shape[1] - 1}.weight"
    return SemanticIds.saved(own, len(saved[last]))
