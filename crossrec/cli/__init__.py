"""Command lines: what a user types, parsed before anything heavy is imported."""
