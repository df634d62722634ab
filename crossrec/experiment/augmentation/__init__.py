"""Puts augmentation together: what each epoch trains on, views, synthesis, and the guard over all of it."""
