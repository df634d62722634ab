"""Evaluates a run or a predictions file: ``python evaluate.py runs/demo [key=value …]``."""

from crossrec.cli.runs import evaluate

if __name__ == "__main__":
    raise SystemExit(evaluate())
