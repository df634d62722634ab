"""Policies in a simulated feedback loop: what becomes of clicks and diversity over rounds."""
