"""Guesses about a folder of data: which file holds what, and the role of each column, with the evidence."""
