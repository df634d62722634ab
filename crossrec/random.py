"""Seedless hashing for random choices that must be the same on every machine, in every process and order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15
"""Odd increment of SplitMix64: 2^64 divided by the golden ratio."""


def mix_bits(values: np.ndarray) -> np.ndarray:
    """Hash 64-bit numbers one by one, so that neighboring inputs give unrelated outputs.

    Args:
        values: uint64 array of any shape.

    Returns:
        A uint64 array of the same shape; the function is one-to-one.

    Source:
        Steele et al., "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014: SplitMix64's finalizer.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hash_ids(ids: Iterable[str]) -> np.ndarray:
    """Hash N ids to uint64 numbers of shape (N,), by BLAKE2b of their UTF-8 bytes."""
    digests = [hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in ids]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
