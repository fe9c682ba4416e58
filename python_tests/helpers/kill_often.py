"""A run that is killed again and again: ``python kill_often.py RESULTS NAME EPISODES KILLS SEED``.

Resumes the run each time, to its end, and prints how many kills struck where. A kill falls on a
process that was forked off this one, to save the seconds that importing torch takes; with SEED
"random" on a process of its own, as a user starts it, and at other moments each time.
"""

import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import killable

from tedg_fast.files import TEMPORARY

PLACES = {"games": 15, "gradient step": 20, "file": 60, "bytes": 6, "clock": 1000}
"""Where kills strike, in turn, and below which count."""


def kill_often(folder, episodes, kills, seed, *first):
    """Train in ``folder``, with the arguments ``first`` at first → Counter of the kills.

    "torn" in it counts the kills that left a half-written file.
    """
    fresh = seed == "random"
    seed = random.SystemRandom().randrange(10**6) if fresh else int(seed)
    print("seed", seed)
    chance = random.Random(seed)
    struck = Counter()
    while True:
        place, count = "nowhere", 0
        killed = sum(struck[place] for place in PLACES)
        if killed < kills:
            place = list(PLACES)[killed % len(PLACES)]
            count = chance.randrange(PLACES[place]) + (2500 if fresh and place == "clock" else 0)
        arguments = [
            "--exp-name", folder.name, "--episodes", str(episodes), "--keep-checkpoints", "2",
            "--num-workers", str(chance.choice([1, 2])),
            "--checkpoint-minutes", str(chance.choice([0, 0, 0, "inf"])),
        ]  # fmt: skip
        if any((folder / "checkpoints").glob("*.pth")):
            arguments += ["--resume", str(folder)]
        else:
            arguments += ["--results", str(folder.parent), *first]
        code = start(place, count, arguments, fresh)
        if code == 0:
            return struck
        if code not in (-signal.SIGKILL, -signal.SIGALRM):
            sys.exit(f"seed {seed}: exit code {code} after {struck}")
        struck[place] += 1
        struck["torn"] += any(folder.rglob(f"{TEMPORARY}*"))


def start(place, count, arguments, fresh):
    """Exit code of a training process."""
    child = os.fork()
    if child == 0:
        if fresh:
            program = [sys.executable, killable.__file__, place, str(count), *arguments]
            os.execv(sys.executable, program)
        killable.main(place, count, arguments)
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    results, name, episodes, kills, seed, *first = sys.argv[1:]
    print(dict(kill_often(Path(results) / name, int(episodes), int(kills), seed, *first)))
