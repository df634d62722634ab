"""Processes, files and ranking primitives used by all higher layers."""
