"""A state that a checkpoint may hold, without the networks and games of a real run."""

import torch

from tedg_fast.runs.config import TrainConfig, to_dict
from tedg_fast.runs.platform import platform


def small_state(env_steps=7, **changes):
    """Everything ``checkpoint.load`` asks for, and 1,000 parameters."""
    state = {
        "config": to_dict(TrainConfig(num_workers=1, threads=1)),
        "platform": platform(),
        "hypergraph": {"name": "α", "digest": "00", "files": {"rules.toml": ""}},
        "policy": {"weight": torch.arange(1000.0)},
        "optimizer": {"state": {}, "param_groups": []},
        "normaliser": {"count": 1, "mean": 0.0, "spread": 1.0},
        "health": {"active": ["grad_norm"], "alignment": [(1, 0.5)], "phase": "warmup"},
        "log": {
            "first_episode": 3, "parent": None, "episodes": {}, "updates": {"loss": [1.5]},
            "events": [{"kind": "replay", "completed": 3, "message": "so and so"}],
        },
        "completed": 3,
        "waiting": [],
        "env_steps": env_steps,
        "decisions": env_steps,
        "rollbacks": 0,
        "workers_lost": 0,
        "best_score": float("-inf"),
        "ranks": [
            {
                "generator": torch.Generator().get_state(),
                "returns": torch.zeros(2, dtype=torch.float64),
                "next_episode": 5,
                "unbegun": [3],
                "games": [
                    {
                        "episode": 4, "actions": torch.zeros(9, dtype=torch.uint8),
                        "observation_hash": "ab",
                    }
                ],
            }
        ],
    }  # fmt: skip
    return state | changes
