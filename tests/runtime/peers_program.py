"""One of two processes, which tests start with a launcher's environment: MODE VICTIM SECONDS."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta

import torch.distributed as group

from crossrec.runtime import distributed
from crossrec.types import InputError


def main(mode: str, victim: int, seconds: float) -> None:
    group.init_process_group("gloo", timeout=timedelta(seconds=seconds + 10))
    distributed.watch(seconds)
    with distributed.explained(seconds):
        distributed.barrier()
        if mode == "long work":
            # Longer than collectives wait: the others are in a barrier meanwhile.
            if distributed.rank() == victim:
                time.sleep(seconds + 12)
            distributed.barrier()
        elif distributed.rank() == victim:
            os.kill(os.getpid(), {"stop": signal.SIGSTOP, "kill": signal.SIGKILL}[mode])
        assert distributed.gather_objects(distributed.rank()) == [0, 1]
    distributed.unwatch()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from error
