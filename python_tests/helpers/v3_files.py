"""Files in V3's formats: the real ones where they are at hand, small made-up ones anywhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tedg_fast.legacy import V3Hypergraph, V3Policy
from tedg_fast.legacy.hypergraph import RULES_FILE, STRUCTURE_FILE

_ROOT = Path(__file__).parents[2]


def real_files() -> Path:
    """The folder of V3's own files, beside the checkout or in it; skips the test without it."""
    places = (_ROOT / "shared" / "legacy_v3", _ROOT.parent / "shared" / "legacy_v3")
    for folder in places:
        if (folder / "golden.npz").is_file():
            return folder
    pytest.skip("V3's own files (shared/legacy_v3) are not beside this checkout")


CONDITIONS = ("player_alive", "hp_full", "has_gold", "monster_alive", "dlvl_1", "dlvl_5", "in_shop")
OPERATORS = ("move_ac717ec4", "eat_rule_c35a0846", "melee_attack_vs_newt", "known_aaaaaaaa")
EFFECTS = ("ate_food", "hit")


def structure() -> dict:
    """A small graph: interleaved node types, repeated edges, an operator without any edge."""
    labels = [*OPERATORS[:1], *CONDITIONS[:4], *EFFECTS, *OPERATORS[1:], *CONDITIONS[4:]]
    types = dict.fromkeys(CONDITIONS, "condition")
    types |= dict.fromkeys(OPERATORS, "operator") | dict.fromkeys(EFFECTS, "effect")
    edges = [
        ("player_alive", "move_ac717ec4", "satisfies"),
        ("player_alive", "move_ac717ec4", "satisfies"),
        ("has_gold", "move_ac717ec4", "satisfies"),
        ("dlvl_1", "move_ac717ec4", "context_of"),
        ("hp_full", "eat_rule_c35a0846", "satisfies"),
        ("dlvl_5", "eat_rule_c35a0846", "context_of"),
        ("monster_alive", "melee_attack_vs_newt", "satisfies"),
        ("move_ac717ec4", "hit", "leads_to"),
        ("eat_rule_c35a0846", "ate_food", "leads_to"),
    ]
    return {
        "nodes": [
            {"id": i, "label": label, "type": types[label]} for i, label in enumerate(labels)
        ],
        "edges": [[labels.index(a), labels.index(b), kind] for a, b, kind in edges],
    }


def rules() -> dict:
    lists = [
        (["player_alive", "has_gold"], ["dlvl_1", "in_shop"]),
        (["hp_full", "player_alive"], ["dlvl_5"]),
        (["monster_alive"], []),
    ]
    return {"hyperedges": [{"pre_nodes": pre, "scene_atoms": scene} for pre, scene in lists]}


def write_hypergraph(folder: Path, structure: dict, rules: dict) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / STRUCTURE_FILE).write_text(json.dumps(structure))
    (folder / RULES_FILE).write_text(json.dumps(rules))
    return folder


def small_hypergraph(folder: Path) -> V3Hypergraph:
    return V3Hypergraph.load(write_hypergraph(folder, structure(), rules()))


def checkpoint_content(policy: V3Policy) -> dict:
    """What V3 would save of this policy: its graph network never got a gradient."""
    optimizer = torch.optim.Adam(policy.parameters(), lr=np.float64(1e-4))
    for name, parameter in policy.named_parameters():
        parameter.grad = None if name.startswith("gat.") else torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return {
        "policy_net": policy.state_dict(),
        "optimizer": optimizer.state_dict(),
        "episode": 99,
        "reward": -2.5,
        "score": np.int64(7),
        "config": {"exp_name": "made_up", "num_experts": len(policy.experts)},
    }
