"""Attention weights beside a model's own computation, and what is made of them."""
