"""Exact full ranking in bounded memory: selection with ties by index, seen items, tiles of scores."""

from crossrec.runtime.ranking.search import Tiles, mask_seen, rank_by_vectors, recommend_by_score
from crossrec.runtime.ranking.selection import top_k

__all__ = ["Tiles", "mask_seen", "rank_by_vectors", "recommend_by_score", "top_k"]
