"""Batches of states as scene graphs for the Manager (csrc/nethack/scene_graphs.h)."""

from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from tedg_fast.hypergraph import ACTIONS, Hypergraph
from tedg_fast.nethack import _native_grounding
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.nethack.facts.tables import monster_tables
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.ops import GraphBatch

ROLES: tuple[str, ...] = _native_grounding.roles
"""What an edge's ends are to each other, source first; its relation in the graph."""


def _kind_of_action(name: str) -> str:
    """An action without its direction."""
    if name.startswith("far_"):
        return "run"
    return "move" if f"far_{name}" in ACTIONS else name


ACTION_KINDS = tuple(dict.fromkeys(map(_kind_of_action, ACTIONS)))


@dataclass(frozen=True)
class Scenes:
    """The scene graphs of B states, with what their nodes are.

    A state's nodes are the player, its instances of rules, the actions that these propose, and its
    objects, in this order. Conditions, then effects, are the shared nodes of ``graph``.

    Attributes:
        graph: nodes and edges; relations are numbers of ``ROLES``.
        node: int64 [N], an instance's rule; of an action the number of rules plus that of its kind
            in ``ACTION_KINDS``; below 0 for the player and for objects.
        instance_start, object_start: int64 [B + 1], where each state's begin among all I instances
            and all J objects.
        actions: int64 [I, 4], what carries an instance out; the number of actions: fewer.
        facts: float32 [J, columns], as ``SceneReader.columns`` names them.
        subject: int64 [J], number of the monster kind, or whose corpse; the number of kinds where
            it is none.
        holds: float32 [B, C], 1 for conditions that hold, 0 for others.
    """

    graph: GraphBatch
    node: Tensor
    instance_start: Tensor
    object_start: Tensor
    actions: Tensor
    facts: Tensor
    subject: Tensor
    holds: Tensor

    def __len__(self) -> int:
        return len(self.graph)

    def select(self, rows: Tensor) -> "Scenes":
        """The states ``rows`` [R] (int64), repeats allowed."""
        instance_start, instances = _parts(self.instance_start, rows)
        object_start, objects = _parts(self.object_start, rows)
        return Scenes(
            graph=self.graph.select(rows),
            node=self.node[self.graph.nodes_of(rows)],
            instance_start=instance_start,
            object_start=object_start,
            actions=self.actions[instances],
            facts=self.facts[objects],
            subject=self.subject[objects],
            holds=self.holds[rows],
        )

    def to(self, device: torch.device | str) -> "Scenes":
        """The same on another device."""
        return Scenes(*(getattr(self, field.name).to(device) for field in fields(self)))

    @cached_property
    def instance_sample(self) -> Tensor:
        """int64 [I], the state that each instance belongs to."""
        return torch.repeat_interleave(self.instance_start.diff())

    @cached_property
    def player_nodes(self) -> Tensor:
        """int64 [B], the players' numbers among all nodes."""
        return self.graph.node_start[:-1]

    @cached_property
    def instance_nodes(self) -> Tensor:
        """int64 [I], the instances' numbers among all nodes: they follow the player."""
        shift = self.player_nodes + 1 - self.instance_start[:-1]
        place = torch.arange(len(self.actions), device=self.node.device)
        return place + shift[self.instance_sample]

    @cached_property
    def object_nodes(self) -> Tensor:
        """int64 [J], the objects' numbers among all nodes: they are the last of each state."""
        shift = self.graph.node_start[1:] - self.object_start[1:]
        place = torch.arange(len(self.subject), device=self.node.device)
        return place + shift.repeat_interleave(self.object_start.diff())

    @cached_property
    def rule(self) -> Tensor:
        """int64 [I], each instance's rule."""
        return self.node[self.instance_nodes]


class SceneReader:
    """Turns observations into scene graphs, under one hypergraph; natively, for all at once.

    Attributes: ``settings``, what the native builder is made of; ``columns``, names of the objects'
    facts: a kind ("monster"), one of its attributes ("monster.steps") or an attribute's word
    ("item.class=food"). Numbers x are squashed to sign(x) log(1 + |x|). Of east and south only the
    larger and the smaller distance remain, and directions have no names, so that a map that is
    turned or mirrored looks the same.
    """

    columns: tuple[str, ...]

    def __init__(self, hypergraph: Hypergraph, *, objects: bool):
        """Without ``objects`` the graphs have no nodes for these."""
        number = {name: kind.number for name, kind in vocabulary().kind.items()}
        effects = {effect.name: place for place, effect in enumerate(hypergraph.effects)}
        rules = [
            (
                (*(number[kind] for kind in rule.variables), -1, -1)[:2],
                list(dict.fromkeys(use.condition for use in rule.conditions)),
                list(dict.fromkeys(effects[name] for name in rule.effects)),
            )
            for rule in hypergraph.operators
        ]
        self.num_shared = hypergraph.num_conditions + hypergraph.num_effects
        self.settings = {
            "rules": rules,
            "num_conditions": hypergraph.num_conditions,
            "num_effects": hypergraph.num_effects,
            "kind_of_action": [ACTION_KINDS.index(_kind_of_action(name)) for name in ACTIONS],
            "num_monsters": len(monster_tables().values),
            "objects": objects,
        }
        self._build = _native_grounding.SceneGraphBuilder(**self.settings)
        self.columns = tuple(self._build.columns)

    def __call__(self, observation: Observation) -> Scenes:
        """The scenes of an observation [B, ...].

        Raises ValueError for numbers of rules, actions or objects that do not exist, and for other
        shapes.
        """
        built = self._build(observation.instances, observation.objects, observation.active_bits)
        tensors = {name: torch.from_numpy(array) for name, array in built.items()}
        names = ("node_start", "edge_start", "source", "target", "role")
        node_start, edge_start, source, target, role = (tensors.pop(name) for name in names)
        graph = GraphBatch(node_start, edge_start, source, target, role, self.num_shared)
        return Scenes(graph, **tensors)


def _parts(start: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of parts that lie one after the other, from ``start`` [B + 1]: the starts of the parts
    ``rows`` once these do, and their elements."""
    count = start.diff()[rows]
    chosen = torch.nn.functional.pad(count.cumsum(0), (1, 0))
    shift = torch.repeat_interleave(start[rows] - chosen[:-1], count)
    return chosen, torch.arange(len(shift), device=start.device) + shift
