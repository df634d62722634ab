"""What a large model does to diversity: a matched pair, measured by list length and by group of users."""
