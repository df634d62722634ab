"""Simulated shoppers who see lists, click, buy and come back, and the feedback loop around them."""
