"""Parts that several sequence models share."""
