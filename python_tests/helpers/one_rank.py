"""``tedg-train`` under torchrun of which one rank fares badly, the first time that it is started.

    torchrun ... one_rank.py RANK PLACE COUNT SECONDS <arguments of tedg-train>

RANK is killed as ``killable.py`` does at PLACE and COUNT; where PLACE is "hang", "terminate" or
"drift" it stops for good, is asked to end, or changes a parameter by itself, at its gradient step
COUNT. SECONDS in one collective are a hang.
"""

import os
import signal
import sys

import killable
import torch

from tedg_fast.train import distributed
from tedg_fast.train.ppo import PPO

RESTARTS = "TORCHELASTIC_RESTART_COUNT"


def main(rank, place, count, seconds, arguments):
    distributed.COLLECTIVE_SECONDS = seconds
    if int(os.environ["RANK"]) != rank or int(os.environ.get(RESTARTS, 0)) > 0:
        place = "nowhere"
    if place in DEEDS:
        PPO._step = struck(PPO._step, count, DEEDS[place])
        place = "nowhere"
    killable.main(place, count, arguments)


def hang(_):
    os.kill(os.getpid(), signal.SIGSTOP)


def terminate(_):
    os.kill(os.getpid(), signal.SIGTERM)


def drift(ppo):
    with torch.no_grad():
        ppo.parameters[0].view(-1)[0] += 1e-3


DEEDS = {"hang": hang, "terminate": terminate, "drift": drift}


def struck(step, count, deed):
    """``step``, but ``deed`` is done before call number ``count``."""
    calls = []

    def counted(ppo, *args):
        if len(calls) == count:
            deed(ppo)
        calls.append(1)
        return step(ppo, *args)

    return counted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5:])
