"""How near two sentences are in meaning, by an encoder, measured once."""

from __future__ import annotations

import numpy as np

from crossrec.augment.text.config import Encode
from crossrec.augment.text.paraphrase_store import RecordStore, content_digest
from crossrec.runtime import distributed

_PROBE = "A short sentence by which encoders are told apart."
_PROBE_DECIMALS = 2
_BLOCK = 256


class Similarities:
    """Cosines of an encoder's vectors, kept on disk.

    The encoder is a bare function, so it is named in the keys by what it makes of a fixed sentence.

    Args:
        encode: texts to (n, D) vectors.
        store: holds measured pairs.
    """

    def __init__(self, encode: Encode, store: RecordStore) -> None:
        self.encode, self.store = encode, store
        self._identity: str | None = None

    def of(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """The cosine of each pair, 0 where a vector is zero. Every process must call this."""
        keys = {pair: self._key(*pair) for pair in dict.fromkeys(pairs)}
        known, wanted = self.store.values(), list(keys)
        # Blocks are cut before known pairs are left out: processes that read the store at other times, while
        # one has begun to write, must still divide the pairs alike.
        blocks = [wanted[start : start + _BLOCK] for start in range(0, len(wanted), _BLOCK)]
        for block in blocks[distributed.rank() :: distributed.world_size()]:
            unknown = [pair for pair in block if keys[pair] not in known]
            if unknown:
                cosines = self._measure(unknown)
                self.store.write({keys[pair]: cosine for pair, cosine in zip(unknown, cosines, strict=True)})
        distributed.barrier()
        known = self.store.values()
        return {pair: known[key] for pair, key in keys.items()}

    def _measure(self, pairs: list[tuple[str, str]]) -> list[float]:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        vectors = np.asarray(self.encode(texts), dtype=np.float64)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = dict(zip(texts, vectors / np.where(norms == 0, 1, norms), strict=True))
        return [round(float(unit[one] @ unit[other]), 6) for one, other in pairs]

    def _key(self, one: str, other: str) -> str:
        if self._identity is None:
            vector = np.asarray(self.encode([_PROBE]), dtype=np.float64)[0]
            size = np.linalg.norm(vector) or 1.0
            self._identity = content_digest([round(float(x), _PROBE_DECIMALS) + 0.0 for x in vector / size])
        return content_digest(self._identity, one, other)
