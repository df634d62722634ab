"""Augmentation of what items are: their texts and pictures."""
