"""Who works at what: claims as files, so that any number of workers on any machines share a folder.

The n-th claim of a name is the file ``<name>/<n>.json``, made exclusively: whoever makes it has it. A claim
is dead once its content has not changed for a while on the looker's own clock, so that clocks of machines
need not agree; a dead one is taken over by making the file n + 1, which again only one can.
"""

from __future__ import annotations

import _thread
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from crossrec.runtime.files import write_text

logger = logging.getLogger(__name__)


BEATS = 5
"""Signs of life in the time after which a worker counts as dead."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets the main thread be interrupted inside the block, whoever started this process.

    A script's background job (``crossrec ablate … &``) ignores interrupts from birth, and so do its children:
    one whose trial was taken over, or whose parent is gone, would go on in silence.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class Claim:
    """Work that is this worker's own until it is released; a thread gives signs of life.

    Where another worker took it over meanwhile (say this machine had been asleep), the main thread is
    interrupted and ``lost`` is set.

    Args:
        path: of the claim's file.
        worker: who.
        every: seconds between signs of life.
    """

    def __init__(self, path: Path, worker: str, every: float) -> None:
        self.path, self.worker, self.lost = path, worker, False
        self._every, self._beat, self._done = every, 0, threading.Event()
        # A worker that claims a forgiven name again must not look like its own claim of before.
        self._token = uuid4().hex
        self._write(released=False)
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Gives the work back, done or not."""
        self._done.set()
        self._thread.join()
        if not self.check_lost():
            self._write(released=True)

    def check_lost(self) -> bool:
        """Looks whether another worker has taken the work over, between two signs of life too."""
        self.lost = self.lost or self.path.with_name(f"{int(self.path.stem) + 1}.json").exists()
        return self.lost

    def _keep(self) -> None:
        while not self._done.wait(self._every):
            try:
                if self.check_lost():
                    _thread.interrupt_main()
                    return
                self._beat += 1
                self._write(released=False)
            except OSError as error:
                # Storage that is away for a moment is no reason to stop; if it stays away, others take over.
                logger.warning("%s: no sign of life could be written: %s", self.path, error)

    def _write(self, *, released: bool) -> None:
        content = {"worker": self.worker, "token": self._token, "beat": self._beat, "released": released}
        write_text(self.path, json.dumps(content) + "\n")


class Claims:
    """The claims of a study.

    Args:
        folder: of their files.
        worker: who this is.
        stale_after: seconds without a sign of life after which a claim is dead.
        clock: seconds that never go back.
    """

    def __init__(
        self, folder: Path, worker: str, stale_after: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.worker, self.stale_after = folder, worker, stale_after
        self._clock = clock
        self._seen: dict[str, tuple[tuple[int, bytes], float]] = {}

    def take(self, name: str) -> Claim | None:
        """Claims a name; None while another worker has it, or was quicker."""
        number = self._newest(name)
        if number >= 0 and not self._free(name, number):
            return None
        path = self.folder / name / f"{number + 1}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return None
        return Claim(path, self.worker, self.stale_after / BEATS)

    def deaths(self, name: str) -> int:
        """How many workers had claimed a name and neither gave it back nor live."""
        numbers = range(self._newest(name) + 1)
        return sum(not self._released(self._read(name, number)) for number in numbers)

    def forget(self, name: str) -> None:
        """Removes all claims of a name at which nobody works."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        self._seen.pop(name, None)

    def _newest(self, name: str) -> int:
        return max((int(p.stem) for p in (self.folder / name).glob("*.json")), default=-1)

    def _read(self, name: str, number: int) -> bytes:
        try:
            return (self.folder / name / f"{number}.json").read_bytes()
        except FileNotFoundError:
            return b""

    def _free(self, name: str, number: int) -> bool:
        content, now = self._read(name, number), self._clock()
        if self._released(content):
            return True
        marker = (number, content)
        seen, since = self._seen.get(name, (None, now))
        if seen != marker:
            self._seen[name] = (marker, now)
            return False
        return now - since >= self.stale_after

    @staticmethod
    def _released(content: bytes) -> bool:
        # The file is empty for the moment between its making and its first content.
        return bool(content) and bool(json.loads(content)["released"])
