"""Generators trained on a catalogue's own features and pictures, measured beside a Gaussian fit."""
