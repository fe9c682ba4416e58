"""The Manager: graph attention over what is there in a state, which scores the rules that apply."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.policy.attention import GraphAttention
from tedg_fast.policy.inputs import PolicyInput, scenes_of
from tedg_fast.policy.nodes import NodeEncoder, NodeTables
from tedg_fast.policy.proposals import Proposals
from tedg_fast.policy.scenes import ROLES, SceneReader, Scenes

ManagerKind = Literal["attention", "mean", "no-objects"]
PRIORITY_WEIGHT = 0.2
"""Nats of an instance's first score for a nat of its rule's priority. With all of it the router
would begin with next to nothing for an expert whose rule is a nat weaker, and so never try it."""


class Reading(NamedTuple):
    """What the Manager computes for B states with I instances of rules in all.

    ``h_logic`` [B, hidden], a summary of each state's graph; ``proposals`` [B, K, A], how strongly
    each expert's instances call for each action; ``advice_scores`` [B, K], how strongly each
    expert's instances apply; ``score`` [I] of each instance, and ``learned`` [I], the part of the
    score beyond the rule's priority; ``instances`` [I, width] and ``effects`` [F, width], features
    of these nodes.
    """

    h_logic: Tensor
    proposals: Tensor
    advice_scores: Tensor
    score: Tensor
    learned: Tensor
    instances: Tensor
    effects: Tensor


class Manager(nn.Module):
    """Two rounds of graph attention over each state's own graph (``Scenes``).

    An instance receives messages from the objects that it is about, from its rule's conditions and
    effects, and from the player; through objects and actions also from the instances that share
    them. Its score is ``s = p + w·x``, where each rule's p is a parameter that starts at
    ``PRIORITY_WEIGHT`` times its priority in the rule file (0 without one). ``h_logic`` is computed
    from the player's node, which receives from all others. The advice score of expert k is
    ``log(1 + Σ exp s)`` over the instances of its rules.

    ``kind``: "mean" takes the mean of all neighbours in place of attention, "no-objects" leaves out
    the objects.
    """

    def __init__(
        self,
        hypergraph: Hypergraph,
        *,
        hidden_size: int,
        heads: int,
        head_size: int,
        num_experts: int,
        kind: ManagerKind = "attention",
    ):
        super().__init__()
        width, objects = heads * head_size, kind != "no-objects"
        self.num_conditions = hypergraph.num_conditions
        self.read = SceneReader(hypergraph, objects=objects)
        self.nodes = NodeEncoder(hypergraph, len(self.read.columns) if objects else 0, width)
        learned = kind != "mean"
        self.first = GraphAttention(len(ROLES), heads, head_size, learned=learned)
        self.second = GraphAttention(len(ROLES), heads, head_size, learned=learned)
        self.priority = nn.Parameter(PRIORITY_WEIGHT * torch.tensor(hypergraph.operator_priority))
        self.score = nn.Linear(width, 1, bias=False)
        # The first scores are the weighed priorities, to within a tenth or so.
        nn.init.normal_(self.score.weight, std=0.1 / math.sqrt(width))
        self.proposals = Proposals(hypergraph, num_experts)
        self.readout = nn.Sequential(
            nn.Linear(width, hidden_size), nn.ReLU(), nn.LayerNorm(hidden_size)
        )

    def scenes(self, observation: Observation) -> Scenes:
        """What the Manager reads of an observation [B, ...], on its device."""
        return self.read(observation).to(self.priority.device)

    def tables(self) -> NodeTables:
        """Features that depend on the parameters alone, for use in several calls."""
        return self.nodes.tables()

    def _first_round(self, inputs: PolicyInput, tables: NodeTables) -> Tensor:
        scenes = scenes_of(inputs)
        x = self.nodes(scenes, inputs.features, tables)
        return self.first(x, self.nodes.shared, scenes.graph.graph)

    def forward(self, inputs: PolicyInput, tables: NodeTables | None = None) -> Reading:
        """Read ``inputs``; ``tables`` are those of the present parameters, if already computed."""
        scenes, shared = scenes_of(inputs), self.nodes.shared
        x = self._first_round(inputs, tables or self.tables())
        x = self.second(x, shared, scenes.graph.graph)
        instances = x.index_select(0, scenes.instance_nodes)
        learned = self.score(instances).squeeze(1)
        score = self.priority.index_select(0, scenes.rule) + learned
        h_logic = self.readout(x.index_select(0, scenes.player_nodes))
        proposals, advice_scores = self.proposals(scenes, score.exp())
        effects = shared[self.num_conditions :]
        return Reading(h_logic, proposals, advice_scores, score, learned, instances, effects)

    @torch.no_grad()
    def edge_attention(self, inputs: PolicyInput) -> Tensor:
        """What each node attends to in the last round, [E, heads] in [0, 1], edges in the order of
        ``inputs.scenes.graph``; those into one node sum to 1."""
        x = self._first_round(inputs, self.tables())
        return self.second.weights(x, self.nodes.shared, scenes_of(inputs).graph.graph)

    def attention_variance(self, inputs: PolicyInput) -> float:
        """How far the instances' attention is from uniform: 0 uniform, 1 all weight on one edge.

        For an instance with d neighbours (at least 2: the player and an action) and weights a (sum
        1) in the last round, the variance of a divided by the largest variance d weights can have,
        ``(Σ a² − 1/d) / (1 − 1/d)``, so that instances of 2 and of 20 neighbours count alike; the
        mean over heads and over all instances. NaN if there is none.
        """
        weights, scenes = self.edge_attention(inputs), scenes_of(inputs)
        graph = scenes.graph.graph
        degree = graph.rowptr.diff().long()
        energy = weights.new_zeros(len(degree), weights.shape[1])
        row = torch.repeat_interleave(degree)
        energy.index_add_(0, row, weights[graph.edge_id.long()].square())
        uniform = 1.0 / degree[scenes.instance_nodes].unsqueeze(1)
        excess = energy[scenes.instance_nodes] - uniform
        return (excess / (1 - uniform)).mean().item()
