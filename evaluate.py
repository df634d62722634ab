"""Evaluates a run or a predictions file: ``python evaluate.py runs/demo [key=value …]``."""

from crossrec.experiment.cli import evaluate

if __name__ == "__main__":
    raise SystemExit(evaluate())
