"""The first features of a scene graph's nodes."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.hypergraph import Do, Hypergraph
from tedg_fast.hypergraph.vocabulary import NUMBER, WORD
from tedg_fast.nethack.facts.features import NUM_FEATURES, UNDIRECTED
from tedg_fast.nethack.facts.tables import monster_tables
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.policy.scenes import ACTION_KINDS, Scenes

_PLAYER_FEATURES = len(range(NUM_FEATURES)[UNDIRECTED])


class NodeTables(NamedTuple):
    """Features of nodes that depend on the parameters alone.

    ``numbered`` [rules + kinds of actions, width], those of instances and actions; ``monsters``
    [M + 1, width], what a monster's or a corpse's kind adds to an object, None without objects.
    """

    numbered: Tensor
    monsters: Tensor | None


class NodeEncoder(nn.Module):
    """The features of each node before it receives messages.

    An instance is its rule: an embedding of its own, what kinds of actions it does (moving toward,
    running, ...) and the file's priority. An action is its kind. An object is its facts, with its
    kind's row of NLE's monster table; the player is what the observation's features tell of it and
    the conditions that hold. No feature depends on a direction.

    Attributes: ``shared`` [C + F, width], the conditions and the effects as nodes.
    """

    def __init__(self, hypergraph: Hypergraph, num_fact_columns: int, width: int):
        super().__init__()
        self.shared = nn.Parameter(
            torch.randn(hypergraph.num_conditions + hypergraph.num_effects, width)
        )
        self.traits: Tensor
        self.register_buffer("traits", _rule_traits(hypergraph), persistent=False)
        self.identity = nn.Parameter(torch.randn(hypergraph.num_operators, width))
        self.trait = nn.Parameter(torch.randn(self.traits.shape[1], width))
        self.action = nn.Parameter(torch.randn(len(ACTION_KINDS), width))
        self.player = nn.Sequential(
            nn.Linear(_PLAYER_FEATURES + hypergraph.num_conditions, width),
            nn.ReLU(),
            nn.LayerNorm(width),
        )
        self.objects = None
        if num_fact_columns:
            traits = monster_traits(monster_tables().values)
            none = torch.zeros_like(traits[:1])  # what is no monster
            self.monsters: Tensor
            self.register_buffer("monsters", torch.cat([traits, none]), persistent=False)
            self.monster = nn.Linear(self.monsters.shape[1], width, bias=False)
            self.objects = nn.Linear(num_fact_columns, width, bias=False)
            self.norm = nn.LayerNorm(width)

    def tables(self) -> NodeTables:
        rules = torch.addmm(self.identity, self.traits, self.trait)
        monsters = None if self.objects is None else self.monster(self.monsters)
        return NodeTables(torch.cat([rules, self.action]), monsters)

    def forward(self, scenes: Scenes, features: Tensor, tables: NodeTables) -> Tensor:
        """The nodes of B ``scenes`` with the observations' ``features`` [B, F] → [N, width]."""
        player = torch.cat([features[:, UNDIRECTED], scenes.holds], 1)
        parts = [tables.numbered, self.player(player)]
        if self.objects is not None and tables.monsters is not None:
            kinds = tables.monsters.index_select(0, scenes.subject)
            parts.append(self.norm(F.relu(self.objects(scenes.facts) + kinds)))
        # Of each node its row among these: instances and actions know it, the others are numbered.
        row = scenes.node.clone()
        first = len(tables.numbered)
        others = torch.arange(first, first + len(scenes) + len(scenes.subject), device=row.device)
        row[scenes.player_nodes] = others[: len(scenes)]
        row[scenes.object_nodes] = others[len(scenes) :]
        return torch.cat(parts).index_select(0, row)


def squashed(values: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|)."""
    return np.copysign(np.log1p(np.abs(values)), values)


def _rule_traits(hypergraph: Hypergraph) -> Tensor:
    """float32 [O, kinds + 1]: how many of a rule's actions are of each kind of template, and its
    priority, squashed."""
    counts = np.zeros((hypergraph.num_operators, len(Do)))
    for row, rule in zip(counts, hypergraph.operators, strict=True):
        for action in rule.actions:
            row[action.kind] += 1
    priority = squashed(hypergraph.operator_priority)
    return torch.from_numpy(np.column_stack([counts, priority])).float()


def monster_traits(table: np.ndarray) -> Tensor:
    """NLE's ``table`` of monster kinds, float64 [M, attributes] in the vocabulary's order, as
    inputs: numbers squashed, the class one-hot; float32 [M, traits].

    The name is left out: a column for each of several hundred kinds would hardly be seen twice.
    """
    attributes = [a for a in vocabulary().kind["monster"].attributes if a.table]
    columns = []
    for attribute, values in zip(attributes, table.T, strict=True):
        if attribute.type != WORD:
            columns.append(squashed(values) if attribute.type == NUMBER else values)
        elif attribute.name != "name":
            columns += list(np.eye(len(attribute.words))[:, values.astype(np.int64)])
    return torch.from_numpy(np.stack(columns, 1)).float()
