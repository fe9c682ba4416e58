"""Which rules a run plays by, and the network that reads them: the package's own, or V3's."""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from tedg_fast.hypergraph import Hypergraph, HypergraphError, load_hypergraph
from tedg_fast.legacy import LegacyError, V3Grounder, V3Hypergraph, V3Policy, is_v3_hypergraph
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.policy import Policy
from tedg_fast.runs.config import TrainConfig

Rules = Hypergraph | V3Hypergraph
"""What may be played by; ``names_actions`` tells whether also without a network."""


def load_rules(path: str | None) -> Rules:
    """The hypergraph at ``path``: a rule file, or a folder with V3's two files.

    ``None`` is the packaged one. Raises ``HypergraphError`` or ``LegacyError``.
    """
    if path is not None and (Path(path).is_dir() or is_v3_hypergraph(path)):
        return V3Hypergraph.load(path)
    return load_hypergraph(path)


def stored_rules(files: dict[str, str], where: str) -> Rules:
    """The hypergraph whose ``files`` were kept at ``where``, which errors name."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, Path(name).name).write_text(text, encoding="utf-8")
        try:
            return load_rules(folder if is_v3_hypergraph(folder) else f"{folder}/rules.toml")
        except (HypergraphError, LegacyError) as error:
            raise type(error)(f"the rules in {where}: {error}".replace(f"{folder}/", "")) from None


def grounder_of(hypergraph: Rules) -> type[Grounder] | type[V3Grounder]:
    """The class that turns NLE's observations into those that the hypergraph's policy reads."""
    return V3Grounder if isinstance(hypergraph, V3Hypergraph) else Grounder


def build_policy(hypergraph: Rules, config: TrainConfig) -> Policy | V3Policy:
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
