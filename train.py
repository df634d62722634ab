"""Trains a recommender: ``python train.py configs/demo.yaml [key=value …]``, or by ``accelerate launch``."""

from crossrec.cli.runs import train

if __name__ == "__main__":
    raise SystemExit(train())
