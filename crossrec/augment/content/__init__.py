"""Augmentation of items' texts and pictures."""
