"""Command lines, parsed before heavy libraries are imported."""
