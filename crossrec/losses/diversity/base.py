"""What diversity terms see of a step, and their contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.losses.diversity.soft_list import soft_top_k
from crossrec.types import ABSENT, InputError

CATEGORY = "category"
"""The space of categories."""

MODEL = "model"
"""The space of the model's own item vectors, as they are now."""


@dataclass(frozen=True)
class ItemInfo:
    """What is known of the N training items, in the numbering of the objective.

    Args:
        train_counts_N: training clicks of each item.
        categories_NG: float32, 1 where the item is in the category; G may be 0.
        vectors: space name -> (N, D) float32 frozen vectors, zeros for an item that has none: ``"text"``,
            ``"image"``, ….
    """

    train_counts_N: Tensor
    categories_NG: Tensor
    vectors: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = {"categories": len(self.categories_NG), **{name: len(v) for name, v in self.vectors.items()}}
        for name, length in rows.items():
            if length != len(self.train_counts_N):
                raise ValueError(f"{name} has {length} rows, there are {len(self.train_counts_N)} items")

    def __len__(self) -> int:
        return len(self.train_counts_N)

    def take(self, items: Tensor) -> ItemInfo:
        """Of some items, such as the training items of a catalogue."""
        vectors = {name: vectors_ND[items] for name, vectors_ND in self.vectors.items()}
        return ItemInfo(self.train_counts_N[items], self.categories_NG[items], vectors)

    def require(self, space: str) -> str:
        """The space's name, where there is such a space.

        Raises:
            InputError: there is none; names those that there are.
        """
        there = [MODEL, *self.vectors, *([CATEGORY] if self.categories_NG.shape[1] else [])]
        if space not in there:
            raise InputError(
                f"diversity: there are no item vectors in the space '{space}'; there are {sorted(there)}"
            )
        return space

    def table(self, space: str) -> Tensor:
        """(N, D) rows of unit length (zeros where nothing is known) of any space but ``model``."""
        raw_ND = self.categories_NG if space == CATEGORY else self.vectors[space]
        return F.normalize(raw_ND.float(), dim=1)


@dataclass
class StepSample:
    """Some positions of a step, and the soft lists that the model would recommend there.

    Numbers are those of the objective. Lists may be over a part of the training items only.

    Args:
        queries_BD: whose dot product with item vectors are logits.
        positives_BD: vector of each position's target.
        targets_B: int64 number of each target.
        windows_B: int64, equal for positions of the same history.
        seen_BL: int64 numbers of the clicks that each query knows; ``ABSENT`` where there is none.
        n_items: N of all training items.
        items_ND: vectors of the items of which lists are made; None where no term needs lists.
        numbers_N: int64 number of each of those; None for all training items in order.
        tables: space name -> (N of all training items, D) unit rows, of the spaces that terms use.
        exclude_seen: whether lists leave out the clicks of the window that their query knows. Recommending
            leaves out the whole history, of which a window can be a part.
    """

    queries_BD: Tensor
    positives_BD: Tensor
    targets_B: Tensor
    windows_B: Tensor
    seen_BL: Tensor
    n_items: int
    items_ND: Tensor | None = None
    numbers_N: Tensor | None = None
    tables: Mapping[str, Tensor] = field(default_factory=dict)
    exclude_seen: bool = True
    _logits_BN: Tensor | None = None
    _soft: dict[tuple[int, float], Tensor] = field(default_factory=dict)

    def soft(self, k: int, temperature: float) -> Tensor:
        """(B, N) how far each item is in each list, see :func:`soft_top_k`; computed once a step."""
        if (k, temperature) not in self._soft:
            self._soft[k, temperature] = soft_top_k(self._logits(), k, temperature)
        return self._soft[k, temperature]

    def top(self, k: int, temperature: float, candidates: int) -> tuple[Tensor, Tensor]:
        """The candidates that are furthest in the lists.

        Returns:
            (B, M) how far, and (B, M) int64 places among the items of which lists are made.
        """
        soft_BN = self.soft(k, temperature)
        places_BM = soft_BN.detach().topk(min(candidates, soft_BN.shape[1]), dim=1, sorted=False).indices
        return soft_BN.gather(1, places_BM), places_BM

    def space(self, name: str, *, detach: bool = True) -> Tensor:
        """(N, D) vectors of unit length (zeros where nothing is known) of the items of which lists are made.

        Args:
            name: ``model`` or one of the tables.
            detach: whether no gradient goes into the model's vectors.
        """
        if name == MODEL:
            items_ND = self._items()
            return F.normalize(items_ND.detach() if detach else items_ND, dim=1)
        table_ND = self.tables[name]
        return table_ND if self.numbers_N is None else table_ND[self.numbers_N]

    def at_places(self, name: str, places_BM: Tensor, *, detach: bool = True) -> Tensor:
        """(B, M, D) vectors of a space at places among the items of which lists are made.

        Nothing of the size of the catalogue is made.

        Args:
            name: ``model`` or one of the tables.
            places_BM: as :meth:`top` gives them.
            detach: whether no gradient goes into the model's vectors.
        """
        if name == MODEL:
            items_ND = self._items()
            chosen_BMD = F.embedding(places_BM, items_ND.detach() if detach else items_ND)
            return F.normalize(chosen_BMD, dim=2)
        numbers_BM = places_BM if self.numbers_N is None else self.numbers_N[places_BM]
        return F.embedding(numbers_BM, self.tables[name])

    def _items(self) -> Tensor:
        if self.items_ND is None:
            raise ValueError("this sample was made without item vectors: no term said that it needs lists")
        return self.items_ND

    def _logits(self) -> Tensor:
        if self._logits_BN is None:
            logits_BN = self.queries_BD @ self._items().T
            self._logits_BN = self._without_seen(logits_BN) if self.exclude_seen else logits_BN
        return self._logits_BN

    def _without_seen(self, logits_BN: Tensor) -> Tensor:
        rows, listed = len(logits_BN), logits_BN.shape[1]
        # One place more, for clicks that are not listed.
        place_of = torch.full((self.n_items + 1,), listed, device=logits_BN.device)
        numbers_N = (
            torch.arange(listed, device=logits_BN.device) if self.numbers_N is None else self.numbers_N
        )
        place_of[numbers_N] = torch.arange(listed, device=logits_BN.device)
        seen_BL = self.seen_BL.masked_fill(self.seen_BL == ABSENT, self.n_items)
        hidden_BN = torch.zeros(rows, listed + 1, dtype=torch.bool, device=logits_BN.device)
        hidden_BN.scatter_(1, place_of[seen_BL], True)
        return logits_BN.masked_fill(hidden_BN[:, :listed], -torch.inf)


class DiversityTerm(nn.Module):
    """A differentiable loss of a step's recommendations, in fp32; lower is more diverse.

    Attributes:
        k: length of the soft lists that the term asks for; None where it needs no lists.
        space: in which it compares items; None where it doesn't.
        lowest: a lower bound of its value; uncertainty weighting needs losses that are not negative.
    """

    k: int | None = None
    space: str | None = None
    lowest: float = 0.0

    def forward(self, sample: StepSample) -> Tensor:
        """() the loss of B positions, at least one; a mean, so that it doesn't grow with B."""
        raise NotImplementedError("a diversity term implements forward()")
