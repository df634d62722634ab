"""Measured systems beside each other: differences with intervals, tests, and the accuracy-diversity plane.

``systems`` reads evaluations (several seeds make one system) and refuses what can't be compared,
``compare`` finds the differences, ``exposure`` those of all lists together, ``page`` writes them down.
"""
