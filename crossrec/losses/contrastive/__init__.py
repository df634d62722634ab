"""Contrastive losses: named terms that are added to any ranking loss."""

from crossrec.losses.contrastive.config import ContrastiveConfig, ContrastiveTermConfig

__all__ = ["ContrastiveConfig", "ContrastiveTermConfig"]
