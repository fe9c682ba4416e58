"""``tedg-train`` that kills itself: ``python killable.py PLACE COUNT <arguments of tedg-train>``.

PLACE is where SIGKILL strikes, at the COUNT-th time there: "games" (while they are waited for),
"gradient step" (halfway through an update), "file" (between any two steps of writing a file),
"bytes" (in the middle of a file), "clock" (COUNT milliseconds after the start) or "nowhere".
"""

import signal
import sys
from types import SimpleNamespace

from faulty_disk import FaultyDisk, die

from tedg_fast import cli
from tedg_fast.nethack.games.worker_pool import WorkerPool
from tedg_fast.train.ppo import PPO


def main(place, count, arguments):
    sys.argv = ["tedg-train", *arguments]
    if place == "games":
        WorkerPool.receive = dying(WorkerPool.receive, count)
    if place == "gradient step":
        PPO._step = dying(PPO._step, count)
    if place == "file":
        FaultyDisk(SimpleNamespace(setattr=setattr), count, die)
    if place == "bytes":
        FaultyDisk(SimpleNamespace(setattr=setattr), count, die, only="write")
    if place == "clock":
        # As SIGKILL: the kernel ends the process at once, for nothing handles this signal.
        signal.setitimer(signal.ITIMER_REAL, (count + 1) / 1000)
    cli.train()


def dying(act, count):
    """``act`` as it is, until the call number ``count``."""
    calls = []

    def counted(*args, **kwargs):
        if len(calls) == count:
            die()
        calls.append(1)
        return act(*args, **kwargs)

    return counted


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
