"""Semantic ids: items as short codes of their content, generated code by code by a decoder."""
