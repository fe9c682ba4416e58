"""Real runs, short ones, that the tests of reports share."""

import pytest
from command import SHORT, tedg_train

PHASES = ["--warmup.episodes", "4", "--transition.episodes", "4"]


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folder of: one-0, one-1 (two seeds), other (no Manager), onwards (goes on from other)."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        for name, flags in (
            ("one-0", ["--seed", 0]),
            ("one-1", ["--seed", 1]),
            ("other", ["--no-manager"]),
        ):
            tedg_train(
                patch, "--results", results, "--exp-name", name, "--episodes", 12, *flags, *SHORT,
                *PHASES,
            )  # fmt: skip
        tedg_train(
            patch, "--resume", results / "other" / "checkpoints" / "model_00006.pth",
            "--results", results, "--exp-name", "onwards", "--episodes", 14,
        )  # fmt: skip
    return results
