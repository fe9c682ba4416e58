"""What every test may count on, however the suite was started, and what many of them share."""

import os
import signal

import pytest

# A shell lets its background jobs ignore Ctrl-C, and all processes of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# What nohup starts ignores a closed terminal; the tests that send SIGHUP need its usual effect.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure():
    """Where a test starts pytest itself, that runs in one process."""
    os.environ["PYTEST_XDIST_AUTO_NUM_WORKERS"] = "0"


@pytest.fixture(scope="session")
def short_runs(tmp_path_factory):
    """Results folder with the shortest of runs: "one" and "two", of so many episodes."""
    from command import SHORT, tedg_train  # most tests need no torch

    results = tmp_path_factory.mktemp("short")
    with pytest.MonkeyPatch.context() as patch:
        for name, episodes in (("one", 1), ("two", 2)):
            tedg_train(
                patch, "--results", results, "--exp-name", name, "--episodes", episodes, *SHORT
            )
    return results
