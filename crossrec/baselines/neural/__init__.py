"""Baselines that PyTorch trains: graph convolutions, visual factors, two towers."""
