"""Normalisation of vectors."""

from __future__ import annotations

from torch import nn

from crossrec.sequence.options import Norm


def make_norm(kind: Norm, width: int) -> nn.Module:
    """Layer normalisation (Ba et al. 2016) or root-mean-square normalisation (Zhang and Sennrich 2019)."""
    return {"layer": nn.LayerNorm, "rms": nn.RMSNorm}[kind](width, eps=1e-5)
