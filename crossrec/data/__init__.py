"""Catalogue, interactions, cleaning, splits and sources."""
