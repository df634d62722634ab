"""Contrastive losses: named terms that are added to any ranking loss."""

from crossrec.objectives.contrastive.config import ContrastiveConfig, ContrastiveTermConfig

__all__ = ["ContrastiveConfig", "ContrastiveTermConfig"]
