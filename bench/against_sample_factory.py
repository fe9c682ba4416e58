"""Sample Factory's APPO on the same games, in a virtual environment of its own.

    python3.11 -m venv sf-venv
    sf-venv/bin/pip install -r bench/sample_factory_requirements.txt
    sf-venv/bin/python bench/against_sample_factory.py

APPO trains a 256x256 MLP, without a recurrent core, on ``blstats`` and the 9x9 glyphs around the
player: 2 workers with 8 games each, 4 epochs, the CPU, Sample Factory's defaults otherwise. The
games are those of ``raw_nle.py``, which is timed on one core before and after; the faster time
counts. Steps are counted when the learner has trained on them, a batch at a time: from the first
batch to the last, and from the launch to the last. Everything after ``--`` goes to Sample Factory,
which logs to stderr. Writes bench/results/sample_factory[_NAME].md and .json. Run it on an idle
machine, and compare with ``throughput.py`` there: the releases of NLE differ, so compare also by
what NLE alone plays in each.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import gymnasium
import numpy as np
import record
from nle import nethack
from raw_nle import make_game, raw_speed
from sample_factory.algo.runners.runner import AlgoObserver, Runner
from sample_factory.algo.utils.misc import ExperimentStatus
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.train import make_runner

GAME = "nethack"
PACKAGES = ("sample-factory", "torch", "numpy", "nle", "gymnasium")
SETUP = (
    f"--env={GAME} --device=cpu --num_workers=2 --num_envs_per_worker=8 --num_epochs=4 "
    "--use_rnn=False --encoder_mlp_layers 256 256"
).split()
REACH = 4
"""Squares that the crop shows on each side of the player."""


class Crop(gymnasium.Wrapper):
    """``blstats`` and the glyphs around the player as one vector of floats.

    The true objective of an episode is the last score that the game showed while it ran.
    """

    def __init__(self, game: gymnasium.Env):
        super().__init__(game)
        size = nethack.BLSTATS_SHAPE[0] + (2 * REACH + 1) ** 2
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.padded = np.pad(
            np.empty(nethack.DUNGEON_SHAPE, np.int16), REACH,
            constant_values=nethack.GLYPH_CMAP_OFF,
        )  # fmt: skip
        self.score = 0

    def vector(self, observation: dict) -> np.ndarray:
        x, y = observation["blstats"][:2]
        self.padded[REACH:-REACH, REACH:-REACH] = observation["glyphs"]
        crop = self.padded[y : y + 2 * REACH + 1, x : x + 2 * REACH + 1]
        return np.concatenate([observation["blstats"], crop.ravel()], dtype=np.float32)

    def reset(self, **kwargs):
        observation, info = self.env.reset(**kwargs)
        self.score = 0
        return self.vector(observation), info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        if not terminated:
            self.score = int(observation["blstats"][nethack.NLE_BL_SCORE])
        info["true_objective"] = self.score
        return self.vector(observation), reward, terminated, truncated, info


def make_cropped_game(*_, **__) -> gymnasium.Env:
    return Crop(make_game(("glyphs", "blstats")))


class Marks(AlgoObserver):
    """When the learner had trained on each batch."""

    def __init__(self):
        self.times: list[float] = []

    def on_training_step(self, runner: Runner, training_iteration_since_resume: int) -> None:
        self.times.append(time.perf_counter())


def train(steps: int, flags: list[str], launched: float) -> dict:
    """Train on more than so many steps in this process and those that it starts."""
    register_env(GAME, make_cropped_game)
    with tempfile.TemporaryDirectory() as folder:
        argv = [*SETUP, f"--train_dir={folder}", f"--train_for_env_steps={steps}", *flags]
        config, runner = make_runner(parse_full_cfg(parse_sf_args(argv)[0], argv))
        marks = Marks()
        runner.register_observer(marks)
        status = runner.init()
        if status == ExperimentStatus.SUCCESS:
            status = runner.run()
    if status != ExperimentStatus.SUCCESS:
        raise RuntimeError("Sample Factory failed; see its log above")
    first, *_, last = marks.times
    batch = config.batch_size * config.num_batches_per_epoch
    return {
        "steps": len(marks.times) * batch,
        "seconds": last - first,
        "speed": (len(marks.times) - 1) * batch / (last - first),
        "startup_seconds": first - launched,
        "speed_with_startup": len(marks.times) * batch / (last - launched),
        "scores": list(map(float, runner.policy_avg_stats.get("true_objective", [[]])[0])),
    }


def train_in_new_process(steps: int, flags: list[str]) -> dict:
    """``train`` where the imports, too, belong to the start."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(train, steps, flags, time.perf_counter()).result()


def report(run: dict, raw: list[float], cores: int) -> list[str]:
    def row(name: str, speed: float) -> list[str]:
        return [name, f"{speed:,.0f}", f"{speed / (cores * max(raw)):.1%}"]

    scores = run["scores"]
    rows = [
        ["NLE alone, one core", f"{max(raw):,.0f}", ""],
        row("Sample Factory's APPO", run["speed"]),
        row("the same, start included", run["speed_with_startup"]),
    ]
    return [
        f"{run['steps']:,} environment steps, {run['seconds']:.1f} s from the first trained batch "
        f"to the last, {run['startup_seconds']:.1f} s from the launch to the first. NLE alone, in "
        "each of its runs: " + ", ".join(f"{speed:,.0f}" for speed in raw) + ".",
        "",
        *record.table(["", "steps/s", f"of {cores} cores' NLE"], rows),
        "",
        f"Mean true score of the last {len(scores)} episodes: {np.mean(scores):.1f}."
        if scores
        else "No episode ended.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000, help="more than so many are trained")
    parser.add_argument("--raw-steps", type=int, default=100_000, help="of NLE alone, each time")
    parser.add_argument("--name", default="", help="added to the results' names")
    parser.add_argument("--out", type=Path, help="put the numbers into this file; record nothing")
    parser.add_argument("flags", nargs="*", help="for Sample Factory, after --")
    arguments = parser.parse_args()
    cores = record.cores()
    header = record.header(PACKAGES, ours=False)
    raw = [raw_speed(arguments.raw_steps, cores[-1]) for _ in range(2)]
    run = train_in_new_process(arguments.steps, arguments.flags)
    raw.append(raw_speed(arguments.raw_steps, cores[-1]))

    measured = {"run": run, "raw": raw}
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(measured))
        return
    name = "_".join(filter(None, ["sample_factory", arguments.name]))
    flags = f"- flags: `{' '.join([*SETUP, *arguments.flags])}`"
    lines = ["# Sample Factory's APPO on the same games", "", *header, flags, ""]
    lines += report(run, raw, len(cores))
    record.write(name, lines, measured)


if __name__ == "__main__":
    main()
