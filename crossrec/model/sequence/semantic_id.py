"""SASRec over histories, whose next items are generated as semantic ids."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crossrec.model.sequence.sasrec import SASRec


class SemanticId(SASRec):
    """SASRec whose states a decoder of codes reads; see :mod:`crossrec.model.semantic_ids`.

    Source: Rajput et al. 2023, Recommender Systems with Generative Retrieval (TIGER).

    Args:
        options: sizes, rates and choice of parts, of which those of codes belong to the decoder.
        width: D of item vectors and hidden states.
        cache_dir: not used.
    """

    class Options(SASRec.Options):
        """Codes of the next item, generated one after the other from its content's codebooks."""

        codes: int = Field(32, ge=2, le=65_536, description="codes per level")
        levels: int = Field(
            2, ge=1, le=16, description="codes of content per item; one more tells items of equal codes apart"
        )
        codebooks: Literal["clicks", "content"] = Field(
            "clicks",
            description="content as it is, or mapped linearly to what users click together, before it is "
            "quantised",
        )
        decoder_layers: int = Field(1, ge=1, le=100, description="layers that read the codes so far")
        prefix_vectors: bool = Field(
            True, description="score a prefix by the mean vector of its items, beside its last code's"
        )
        beam: int = Field(
            50,
            ge=1,
            le=100_000,
            description="prefixes kept per level in a search, at least the list's length",
        )

        @property
        def generates(self) -> bool:
            """True."""
            return True
