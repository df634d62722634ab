"""Policies in a simulated feedback loop: clicks and diversity over rounds."""
