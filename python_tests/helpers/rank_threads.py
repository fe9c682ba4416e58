"""Where the threads of a rank run: ``torchrun ... rank_threads.py FOLDER`` writes FOLDER/RANK.json.

``policies``: of each thread's name, its scheduling policy; ``settled``: the cores of this thread
and of those of gloo, and ``free``: this one's afterwards.
"""

import json
import os
import sys
from pathlib import Path

import torch

from tedg_fast.train.distributed import joined


def main(folder):
    torch.set_num_threads(1)
    with joined() as world:
        threads = {int(path.name): path.joinpath("comm").read_text().strip()
                   for path in Path("/proc/self/task").iterdir()}  # fmt: skip
        gloo = [number for number, name in threads.items() if "gloo" in name]
        with world.settled():
            settled = [sorted(os.sched_getaffinity(number)) for number in [0, *gloo]]
        result = {
            "policies": {name: os.sched_getscheduler(n) for n, name in threads.items()},
            "own": os.sched_getscheduler(0),
            "settled": settled,
            "free": sorted(os.sched_getaffinity(0)),
        }
        Path(folder, f"{world.rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
