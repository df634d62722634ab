"""Exit status of a command: errors that a user can fix become one plain message."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Callable

from crossrec.types import InputError

ENVIRONMENT = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EIO,
    errno.EISDIR,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""File errors caused by the machine or the request, not by this program."""


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-code``, the only way to let foreign folders import code."""
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="import the Python classes outside crossrec that a run or shared folder names",
    )


def guarded(run: Callable[[], None]) -> int:
    """Return the exit status: 0, or 2 for unusable input, with one message on standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("crossrec").setLevel(
        logging.INFO if os.environ.get("RANK", "0") == "0" else logging.ERROR
    )
    try:
        run()
    except InputError as error:
        return _refuse(str(error))
    except OSError as error:
        if error.errno not in ENVIRONMENT:
            raise
        where = "" if error.filename is None else f": {error.filename}"
        return _refuse(f"{error.strerror}{where}")
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = str(error).split("\n")[0]
        return _refuse(
            f"out of memory ({reason}): lower trainer.batch_size, model.width, evaluation.batch or list "
            "lengths; a restarted training resumes from its last checkpoint"
        )
    return 0


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _is_out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # of torch, which is not imported for this
        or "DefaultCPUAllocator: can't allocate memory" in str(error)
    )
