"""Processes, files and ranking primitives that every part above uses."""
