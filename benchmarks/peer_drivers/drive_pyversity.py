"""Reranks with pyversity, one user after the other; answers requests line by line.

    python drive_pyversity.py FOLDER K

FOLDER holds vectors, ids and relevance as .npy; a request names algorithm, diversity and a range of rows.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from pyversity import diversify


def main() -> None:
    """Answers until the input ends."""
    folder, k = Path(sys.argv[1]), int(sys.argv[2])
    vectors, ids, relevance = (np.load(folder / f"{name}.npy") for name in ("vectors", "ids", "relevance"))
    for line in sys.stdin:
        asked = json.loads(line)
        algorithm, diversity = asked["algorithm"], asked["diversity"]
        columns = []
        start = np.array([time.perf_counter(), time.process_time()])
        for row in range(asked["start"], asked["stop"]):
            options = {}
            if algorithm == "dpp":
                options["scale"] = float(relevance[row].std()) / (2 * diversity)
            found = diversify(vectors[ids[row]], relevance[row], k, algorithm, diversity, **options)
            columns.append(found.indices)
        seconds = np.array([time.perf_counter(), time.process_time()]) - start
        answer = {"seconds": seconds.tolist(), "columns": [c.tolist() for c in columns]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
