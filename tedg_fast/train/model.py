"""Which rules a run plays by, and the network that reads them: the package's own, or V3's."""

from dataclasses import replace
from pathlib import Path

import torch

from tedg_fast.hypergraph import Hypergraph, load_hypergraph
from tedg_fast.legacy import V3Grounder, V3Hypergraph, V3Policy, is_v3_hypergraph
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.policy import Policy
from tedg_fast.train.config import TrainConfig


def load_rules(path: str | None) -> Hypergraph | V3Hypergraph:
    """The hypergraph at ``path``: a rule file, or a folder with V3's two files.

    ``None`` is the packaged one. Raises ``HypergraphError`` or ``LegacyError``.
    """
    if path is not None and (Path(path).is_dir() or is_v3_hypergraph(path)):
        return V3Hypergraph.load(path)
    return load_hypergraph(path)


def grounder_of(
    hypergraph: Hypergraph | V3Hypergraph,
) -> type[Grounder] | type[V3Grounder]:
    """The class that turns NLE's observations into those that the hypergraph's policy reads."""
    return V3Grounder if isinstance(hypergraph, V3Hypergraph) else Grounder


def build_policy(
    hypergraph: Hypergraph | V3Hypergraph, config: TrainConfig
) -> Policy | V3Policy:
    """A new policy over the hypergraph, drawn from ``config.seed``, on ``config.device``."""
    torch.manual_seed(config.seed)
    if isinstance(hypergraph, V3Hypergraph):
        policy = V3Policy(hypergraph, config.num_experts)
    else:
        sizes = config.policy
        if not config.mechanisms.manager and sizes.router == "advised":
            sizes = replace(sizes, router="learned")
        policy = Policy(hypergraph, config.num_experts, sizes)
    policy.manager.requires_grad_(not config.freeze_gat)
    return policy.to(config.device)
