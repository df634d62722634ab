"""A progress bar with speed and time left, on the main process and only where somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crossrec.runtime import distributed


@contextmanager
def progress_bar(description: str, total: int, force: bool = False) -> Iterator[Callable[[int], None]]:
    """Yields a function that counts finished items.

    Args:
        description: what is counted.
        total: items of this process.
        force: draw even where stderr is no terminal.
    """
    if not distributed.is_main() or not (force or sys.stderr.isatty()):
        yield lambda done: None
        return
    from rich.console import Console
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
            return Text(f"{task.speed:.0f}/s" if task.speed else "-/s")

    console = Console(stderr=True, force_terminal=True if force else None)
    columns = (BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    with Progress("{task.description}", *columns, console=console) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)
