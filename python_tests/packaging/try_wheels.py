"""Tries the wheels as strangers get them: ``try_wheels.py FOLDER [PYTHON ...]``.

The wheels are built from the source distribution, installed into fresh environments with the oldest
and the newest torch, and used from a folder without the sources: one wheel of the kernels for all,
and one of the whole package for each Python that NLE has a wheel for. FOLDER takes the
distributions and the logs; a distribution that is there already is not built again. The last lines
are a table; the exit code is 1 where something failed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2]
TESTS = [
    "ops/test_contract.py", "ops/test_gat_attention.py", "ops/test_gatv2.py", "ops/test_routing.py",
    "ops/test_entmax.py", "ops/test_losses.py", "nn/test_graph_layers.py",
    "nn/test_routing_modules.py",
]  # fmt: skip
PYTHONS = [f"python3.{minor}" for minor in range(11, 15)]


class Failed(Exception):
    """A command that ended with an error; the text names it and its log."""


class Environment:
    """A fresh virtual environment of one interpreter, whose commands write to one log."""

    def __init__(self, python: str, place: Path, log: Path):
        self.place, self.log = place, log
        log.unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        self.run(python, "-m", "venv", str(place))

    def run(self, program: str, *arguments: str) -> str:
        """What the program prints; its working folder has no sources in it. Raises Failed."""
        command = [shutil.which(program, path=self.place / "bin") or program, *arguments]
        with self.log.open("a") as log:
            print("$", *command, file=log, flush=True)
            done = subprocess.run(
                command, cwd=self.place.parent, stdout=subprocess.PIPE, stderr=log, text=True
            )
            log.write(done.stdout)
        if done.returncode:
            raise Failed(f"{program} failed, see {self.log}")
        return done.stdout.strip()

    def says(self, expression: str) -> str:
        return self.run("python", "-c", f"import sys; print({expression})")


def distribution(folder: Path, pattern: str) -> Path | None:
    return next(folder.glob(pattern), None)


def unpacked_sources(env: Environment, folder: Path) -> Path:
    """What the source distribution holds, which is made where it is not there."""
    pattern = "tedg_fast-*.tar.gz"
    if distribution(folder, pattern) is None:
        env.run("pip", "install", "build")
        env.run("python", "-m", "build", "--sdist", "-o", str(folder), str(SOURCES))
        shutil.unpack_archive(distribution(folder, pattern), folder)
    return folder / distribution(folder, pattern).name.removesuffix(".tar.gz")


def try_kernels(env: Environment, folder: Path) -> None:
    sources = unpacked_sources(env, folder)
    pattern = "tedg_fast_kernels-*-py3-none-*.whl"
    if distribution(folder, pattern) is None:
        env.run("pip", "wheel", "--no-deps", "-w", str(folder), str(sources / "kernels"))
    env.run("pip", "install", str(distribution(folder, pattern)))
    env.run("python", "-m", "tedg_fast.info")
    env.run("pip", "install", "pytest", "pytest-timeout", "pytest-xdist", "hypothesis")
    tests = [str(SOURCES / "python_tests" / name) for name in TESTS]
    config = ("-c", str(SOURCES / "pyproject.toml"), "-p", "no:cacheprovider")
    env.run("pytest", "-q", "-n", "2", *config, *tests)


def try_package(env: Environment, folder: Path) -> None:
    """Trains for a few games and plays some, in an environment that has NLE."""
    sources = unpacked_sources(env, folder)
    tag = env.says("'cp{}{}'.format(*sys.version_info)")
    pattern = f"tedg_fast-*-{tag}-*.whl"
    if distribution(folder, pattern) is None:
        env.run("pip", "wheel", "--no-deps", "-w", str(folder), str(sources))
    env.run("pip", "uninstall", "-y", "tedg_fast_kernels")
    env.run("pip", "install", str(distribution(folder, pattern)))
    env.run("python", "-m", "tedg_fast.info")
    short = ("--episodes", "4", "--max-steps", "200", "--num-envs", "4")
    results = env.place / "results"
    env.run("tedg-train", "--results", str(results), "--exp-name", "tried", *short)
    env.run("tedg-eval", str(results / "tried"), "rules", "random", *short)


def outcome(work, *arguments) -> str:
    try:
        work(*arguments)
    except Failed as failed:
        return str(failed)
    return "passes"


def row(python: str, torch: str, folder: Path, place: Path) -> tuple[str, str, str, str]:
    """One line of the table: Python, torch, and how the two wheels do."""
    log = folder / f"{Path(python).name}-{re.sub('[^a-z0-9.]+', '', torch)}.log"
    env = Environment(python, place, log)
    version = env.says("sys.version.split()[0]")
    try:
        env.run("pip", "install", torch)
    except Failed as failed:
        return version, torch, str(failed), "not tried"
    torch = env.says("__import__('torch').__version__")
    kernels = outcome(try_kernels, env, folder)
    if outcome(env.run, "pip", "install", "--only-binary", "nle", "nle") != "passes":
        return version, torch, kernels, "no wheel of NLE"
    return version, torch, kernels, outcome(try_package, env, folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("python", nargs="*", help="interpreters; by default python3.11 to 3.14")
    parser.add_argument("--torch", nargs="+", default=["torch==2.10.*", "torch"])
    options = parser.parse_args()
    pythons = options.python or [name for name in PYTHONS if shutil.which(name)]
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.pop("PYTHONPATH", None)  # it may lead to the sources
    os.environ["TEDG_CUDA"] = "0"
    rows = [("Python", "torch", "kernels", "package with NetHack")]
    with tempfile.TemporaryDirectory() as scratch:
        for python in pythons:
            for torch in options.torch:
                rows.append(row(python, torch, folder, Path(scratch) / "environment"))
                print(*rows[-1], sep=" | ", flush=True)
    print()
    for cells in rows:
        print(*cells, sep=" | ")
    return int("failed" in str(rows))


if __name__ == "__main__":
    sys.exit(main())
