"""Shareable folders of recommenders, in Hugging Face's layout."""
