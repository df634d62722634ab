"""Tracking of a running training: log.jsonl, wandb or tensorboard, the progress bar."""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crossrec.runtime import distributed
from crossrec.runtime.files import write_text
from crossrec.training.config import TrainerConfig
from crossrec.types import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator


def check_tracker(config: TrainerConfig) -> None:
    """Check before training that the tracker can log.

    Raises:
        InputError: if its package is not installed, or wandb is to log online without an account.
    """
    if config.tracker == "none":
        return
    if importlib.util.find_spec(config.tracker) is None:
        raise InputError(
            f"trainer.tracker: {config.tracker} is not installed: pip install {config.tracker}, or set "
            "trainer.tracker=none (log.jsonl is written in any case)"
        )
    if config.tracker == "wandb" and config.wandb_mode == "online":
        _check_wandb_account()


def _check_wandb_account() -> None:
    import wandb

    advice = "run 'wandb login' or set WANDB_API_KEY, or set trainer.wandb_mode=offline and sync later"
    try:
        # Before wandb had the argument, the only way that never prompts was to look for a key.
        asks = "prompt" in inspect.signature(wandb.login).parameters
        known = wandb.login(prompt=False) if asks else bool(wandb.api.api_key)
    except Exception as error:  # wandb raises many classes where it has no network
        reason = " ".join(str(error).split())
        raise InputError(f"trainer.tracker: wandb can't log in ({reason}): {advice}") from error
    if not known:
        raise InputError(f"trainer.tracker: wandb online has no account: {advice}")


def start_tracker(
    accelerator: Accelerator, config: TrainerConfig, run: str, settings: dict[str, Any]
) -> None:
    """Start wandb (offline unless configured otherwise) or tensorboard, if one is configured.

    Args:
        accelerator: accelerator built with ``log_with``.
        config: tracker, and wandb's mode.
        run: name of the run in the tracker.
        settings: the resolved configuration.

    Raises:
        InputError: if the tracker can't start.
    """
    if config.tracker == "none":
        return
    check_tracker(config)
    wandb = {"mode": config.wandb_mode, "name": run, "dir": str(accelerator.project_dir), "config": settings}
    try:
        accelerator.init_trackers("crossrec", init_kwargs={"wandb": wandb})
    except Exception as error:  # wandb raises many classes where it has no network or no permission
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"trainer.tracker: {config.tracker} can't start: {reason}; set trainer.wandb_mode=offline or "
            "trainer.tracker=none"
        ) from error
    if not accelerator.trackers:
        raise InputError(f"trainer.tracker: {config.tracker} did not start; set trainer.tracker=none")


def track_results(
    accelerator: Accelerator, part: str, metrics: Mapping[str, float], step: int, report: Path | None
) -> None:
    """Send the final metrics to the trackers: scalars named ``test/ndcg@10``, and to wandb also the report.

    Args:
        accelerator: accelerator whose trackers run.
        part: split that was evaluated.
        metrics: name -> value.
        step: last step of the training.
        report: path of the report page; None if there is none.
    """
    values = {f"{part}/{name}": value for name, value in metrics.items() if math.isfinite(value)}
    for tracker in accelerator.trackers:
        if tracker.name == "wandb":
            import wandb

            tracker.run.summary.update(values)
            if report is not None and report.exists():
                tracker.run.log(
                    {f"{part}/report": wandb.Html(report.read_text(encoding="utf-8"), inject=False)}
                )
        else:
            tracker.log(values, step=step)


def finish_trackers(accelerator: Accelerator) -> None:
    """Close the trackers; the processes stay up, since what follows is shared among them."""
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.trackers = []


class RunLog:
    """``log.jsonl``: one line per step and one per validation, written by the main process.

    Args:
        path: path of the file; lines of steps after ``resume_step`` are dropped, since those are repeated.
        resume_step: steps done by the resumed checkpoint.
        accelerator: passes lines on to wandb or tensorboard, if any.
    """

    def __init__(self, path: Path, resume_step: int, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        if not distributed.is_main():
            self._file = None
            return
        kept = [line for line in read_log(path) if line["step"] <= resume_step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Add a line of a kind ("step" or "eval")."""
        if self._file is not None:
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            self._file.flush()
        self._accelerator.log({f"{kind}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a ``log.jsonl``; a truncated last line is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    parsed = []
    for number, line in enumerate(lines):
        try:
            parsed.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines) - 1:
                raise
    return parsed


class ProgressBar:
    """Progress bar on the main process: steps, speed, time left, the latest figures."""

    def __init__(self, bar: Progress, total: int, done: int) -> None:
        self._bar = bar
        self._task = bar.add_task("training", total=total, completed=done, speed="", figures="")

    def advance(self, speed: str, figures: str) -> None:
        """Advance by one step."""
        self._bar.update(self._task, advance=1, speed=speed, figures=figures)


@contextmanager
def progress_bar(total: int, done: int) -> Iterator[ProgressBar]:
    """Show a bar while the block runs; silent on other processes and if the output is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(
        *columns, console=console, disable=not (distributed.is_main() and console.is_terminal)
    ) as bar:
        yield ProgressBar(bar, total, done)
