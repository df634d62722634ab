"""Evaluation: ranked lists and truth in, metrics with intervals, slices and a per-user table out.

``config`` has the options, ``evaluate`` ranks with a recommender and turns lists into an ``Evaluation``
(``results``), ``predictions`` writes and reads lists with original ids. Nothing is imported here, so that
reading a configuration stays fast.
"""
