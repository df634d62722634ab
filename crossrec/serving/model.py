"""The trained network in use: one recommender for each choice of modalities, and room for new items."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.growth import append_items, encode_items
from crossrec.model.recommender import NeuralRecommender
from crossrec.serving.ranking import ItemTiles
from crossrec.types import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossrec.data.catalog import Catalog
    from crossrec.model.config import ModelConfig
    from crossrec.model.growth import ContentVectors


class ServedModel:
    """A network that is trained no further.

    Args:
        recommender: the model's own.
        config: of the network.
        base: the catalogue that the network was trained on, as encoders see it. The contents of items that
            were added stand behind it in ``contents``.
    """

    def __init__(self, recommender: NeuralRecommender, config: ModelConfig, base: EncodedCatalog) -> None:
        self.recommender = recommender
        self.config = config
        self.contents = [base]
        self._encoders: dict[str, Any] = {}
        self._views: dict[frozenset[str], ItemTiles] = {frozenset(self.modalities): ItemTiles(recommender)}

    @property
    def modalities(self) -> list[str]:
        """Names of what items are known by."""
        return list(self.recommender.network.items.modalities)

    def view(self, modalities: Collection[str] | None) -> ItemTiles:
        """Scores of the model that looks at some modalities only; item vectors are made once for each choice.

        Args:
            modalities: of ``id``, ``text`` and ``image`` those that may be looked at; all when None.

        Raises:
            InputError: none is named, or one that the model doesn't have.
        """
        chosen = frozenset(self.modalities if modalities is None else modalities)
        if not chosen or not chosen <= set(self.modalities):
            raise InputError(
                f"modalities: {sorted(chosen)}; name at least one of those of this model: {self.modalities}"
            )
        if chosen not in self._views:
            network, name = self.recommender.network, self.recommender.name
            self._views[chosen] = ItemTiles(NeuralRecommender(network, name=name, shown=chosen))
        return self._views[chosen]

    def content_of(self, catalog: Catalog) -> EncodedCatalog:
        """New items as encoders see them; encoders are loaded once and kept."""
        return EncodedCatalog(catalog, self.contents[0].cache_dir, self._encoders)

    def encode(self, content: EncodedCatalog) -> dict[str, ContentVectors]:
        """What the encoders make of new items; changes nothing.

        Raises:
            InputError: the model can't know new items, or nothing of one.
        """
        return encode_items(self.recommender.network, self.config, content)

    def append(
        self, encoded: Mapping[str, ContentVectors], content: EncodedCatalog, catalog: Catalog
    ) -> None:
        """Takes new items in.

        Args:
            encoded: from :meth:`encode`.
            content: of the new items.
            catalog: of all items, the new ones last.
        """
        append_items(self.recommender.network, encoded, len(content.catalog))
        self.contents[0].grow(catalog)
        self.contents.append(content)
