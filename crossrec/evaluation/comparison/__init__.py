"""Comparison of systems: differences with intervals, tests, and the accuracy-diversity plane.

``systems`` reads evaluations (several seeds make one system) and rejects those that can't be compared,
``compare`` computes the differences, ``exposure`` those of aggregate metrics, ``page`` writes them.
"""
