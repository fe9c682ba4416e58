"""How much memory a run's settings need, so that what cannot fit is refused and not killed."""

from typing import Any

from tedg_fast.machine import free_memory
from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.runs.config import ConfigError, TrainConfig
from tedg_fast.runs.model import Rules, grounder_of

# Rounded up: a run of 32 games in two workers takes 445 MiB
# (bench/results/earlier_rules/endurance.md).
_TRAINER = 300e6
_WORKER = 50e6
_GAME = 4e6
_FLOAT = 4


def needed_memory(config: TrainConfig, hypergraph: Rules, ranks_here: float = 1.0) -> float:
    """Bytes that a run takes on this machine, where ``ranks_here`` is its share of all ranks."""
    grounder: Any = grounder_of(hypergraph)
    fields = grounder(hypergraph, 1).spec.empty(1)
    observation = sum(getattr(fields, name).nbytes for name in vars(fields))
    hidden, experts = config.policy.hidden_size, config.num_experts
    # A rollout's row with logits, noise and their copies; of a minibatch's, what backward needs.
    row = 2 * observation + _FLOAT * (6 * NUM_ACTIONS + 2 * experts + 16)
    learned = _FLOAT * (12 * hidden + 8 * experts * (hidden + NUM_ACTIONS))
    rows = config.num_envs * config.ppo.rollout_decisions * ranks_here
    minibatch = min(config.ppo.minibatch_size * ranks_here, rows)
    games = config.num_envs * ranks_here * (_GAME + 3 * observation + config.max_steps)
    return _TRAINER + config.num_workers * _WORKER + games + rows * row + minibatch * learned


def check_memory(config: TrainConfig, hypergraph: Rules, ranks_here: float = 1.0) -> None:
    """Raise ``ConfigError`` where a run needs more memory than can be used now."""
    needed, free = needed_memory(config, hypergraph, ranks_here), free_memory()
    if needed > free:
        raise ConfigError(
            f"these settings need about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB "
            "are free: lower --num-envs, --ppo.rollout-decisions, --num-workers or the "
            "network's sizes"
        )
