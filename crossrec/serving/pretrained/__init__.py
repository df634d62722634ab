"""Folders that hold a recommender and are shared the Hugging Face way."""
