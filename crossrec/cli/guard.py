"""Runs a command and turns what a user can mend into a plain message."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable

from crossrec.types import InputError


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Adds ``--trust-code``, the one way to have folders from elsewhere import code."""
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="import the Python classes outside crossrec that a run or shared folder names",
    )


def guarded(run: Callable[[], None]) -> int:
    """The exit status: 0, or 2 where the input can't be used, with one message on standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("crossrec").setLevel(
        logging.INFO if os.environ.get("RANK", "0") == "0" else logging.ERROR
    )
    try:
        run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
