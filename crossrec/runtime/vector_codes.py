"""Compressed item vectors through FAISS: 8-bit integers, and product quantization."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from crossrec.types import InputError

VectorCode = Literal["float32", "int8", "pq"]
"""``float32``: 4 bytes per dimension; ``int8``: 1; ``pq``: 1 per 4 dimensions."""
PQ_DIMENSIONS = 4
"""Dimensions that one code of a product quantizer stands for, about."""
CENTROIDS = 256
"""Codes of a product quantizer, one byte each."""


def check_code(code: VectorCode, n_items: int, key: str) -> None:
    """Check that vectors can be compressed.

    Args:
        code: representation.
        n_items: number of vectors.
        key: name of the option, for the message.

    Raises:
        InputError: if there are too few vectors to learn the codes of a product quantizer.
    """
    if code == "pq" and n_items < CENTROIDS:
        raise InputError(
            f"{key}: product quantization learns {CENTROIDS} codes and needs as many items, not {n_items:,}; "
            "int8 needs none"
        )


def pq_codes(width: int) -> int:
    """Return the number of codes of a vector: the divisor of its width nearest to one per four dimensions."""
    divisors = [n for n in range(1, width + 1) if width % n == 0]
    return min(divisors, key=lambda n: (abs(n - width / PQ_DIMENSIONS), -n))


def flat_index(vectors_ND: np.ndarray, code: VectorCode) -> Any:
    """Return a FAISS index that compares a query with every vector, by the dot product.

    Args:
        vectors_ND: (N, D) float32.
        code: representation of the vectors.

    Source:
        ``pq``: Jégou, Douze and Schmid, Product quantization for nearest neighbor search (TPAMI 2011).
    """
    import faiss

    width = vectors_ND.shape[1]
    index: Any
    if code == "float32":
        index = faiss.IndexFlatIP(width)
    elif code == "int8":
        index = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    else:
        index = faiss.IndexPQ(width, pq_codes(width), 8, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.min_points_per_centroid = 1
    index.train(np.ascontiguousarray(vectors_ND, np.float32))
    index.add(np.ascontiguousarray(vectors_ND, np.float32))
    return index


def inverted_file(width: int, n_lists: int, code: VectorCode) -> Any:
    """Return an untrained FAISS index of inverted lists, by the dot product.

    Args:
        width: D.
        n_lists: number of lists.
        code: representation of the vectors; codes are of the differences from the lists' centers.
    """
    import faiss

    center, metric = faiss.IndexFlatIP(width), faiss.METRIC_INNER_PRODUCT
    if code == "int8":
        return faiss.IndexIVFScalarQuantizer(center, width, n_lists, faiss.ScalarQuantizer.QT_8bit, metric)
    if code == "pq":
        index = faiss.IndexIVFPQ(center, width, n_lists, pq_codes(width), 8, metric)
        index.pq.cp.min_points_per_centroid = 1
        return index
    return faiss.IndexIVFFlat(center, width, n_lists, metric)
