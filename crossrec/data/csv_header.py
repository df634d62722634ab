"""The header of a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path


def twin_columns(path: Path, delimiter: str = ",", encoding: str = "utf-8-sig") -> str | None:
    """What is wrong with a header that has two columns of one name, None where it has not.

    Polars takes the first of them and calls the other one otherwise, so it is for the caller to refuse.

    Raises:
        csv.Error: this is no CSV file.
    """
    with path.open(encoding=encoding, errors="replace", newline="") as lines:
        header = next((names for names in csv.reader(lines, delimiter=delimiter) if names), [])
    for name in dict.fromkeys(header):
        places = [str(place) for place, other in enumerate(header, start=1) if other == name]
        if name and len(places) > 1:
            return (
                f"{path} has {len(places)} columns called '{name}', in the places {', '.join(places)} of its "
                "header: rename all but one"
            )
    return None
