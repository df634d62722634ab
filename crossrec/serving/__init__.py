"""Trained recommenders in use: lists for users and histories, new items, embeddings, files to share."""
