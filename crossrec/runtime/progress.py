"""Progress bar with speed and time left, on the main process and only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from crossrec.runtime import distributed

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def progress_bar(
    description: str, total: int, *, done: int = 0, force: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yield a function that counts finished items.

    Args:
        description: label of the bar.
        total: number of items of this process; nothing is drawn for 0.
        done: number finished before.
        force: whether to draw even if stderr is not a terminal.
    """
    if total == 0 or not distributed.is_main() or not (force or sys.stderr.isatty()):
        yield lambda finished: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.{0 if task.speed >= 10 else 2}f}/s" if task.speed else "-/s")

    columns = (BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    with Progress("{task.description}", *columns, console=_console(force)) as bar:
        task = bar.add_task(description, total=total, completed=done)
        yield lambda finished: bar.advance(task, finished)


@lru_cache(maxsize=2)
def _console(force: bool) -> Console:
    """Return the console of all bars, so that a nested bar is drawn beneath its outer one."""
    from rich.console import Console

    return Console(stderr=True, force_terminal=True if force else None)
