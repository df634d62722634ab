"""Augmentation of training data: text, pictures, sequences, synthesis; nothing is augmented at evaluation."""
