"""The Manager written down from its description: node by node and edge by edge, for one state."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tedg_fast.hypergraph import ACTIONS, Hypergraph
from tedg_fast.nethack.facts.features import NUM_FEATURES
from tedg_fast.nethack.facts.observation import (
    NO_RULE,
    NO_SUBJECT,
    NOTHING,
    Observation,
    instances_of,
    objects_of,
)
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.policy import Manager
from tedg_fast.policy.scenes import ACTION_KINDS, ROLES

DTYPE = torch.float64


def squash(value: float) -> float:
    return math.copysign(math.log1p(abs(value)), value)


def columns_of(thing: np.void, names: tuple[str, ...]) -> list[float]:
    """An object's facts, column by column."""
    kind = vocabulary().kinds[thing["kind"]]
    own = {a.name: (a, float(thing["facts"][a.number])) for a in kind.attributes if not a.table}
    columns = []
    for name in names:
        of_kind, _, attribute = name.partition(".")
        attribute, _, word = attribute.partition("=")
        if of_kind != kind.name:
            columns.append(0.0)
        elif not attribute:
            columns.append(1.0)
        elif attribute in ("farther", "nearer"):
            sides = sorted(abs(own[side][1]) for side in ("east", "south"))
            columns.append(squash(sides[attribute == "farther"]))
        elif word:
            described, value = own[attribute]
            columns.append(float(described.words[int(value)] == word))
        else:
            described, value = own[attribute]
            columns.append(squash(value) if described.type == "number" else value)
    return columns


def plain_round(layer, x, shared, edges):
    """One round at every node; ``edges`` are (source, target, role), a shared source is -1 - s."""
    new = []
    for node in range(len(x)):
        incoming = [(source, role) for source, target, role in edges if target == node]
        heard = torch.zeros(layer.heads, layer.head_size, dtype=DTYPE)
        if incoming:
            vectors = [x[s] if s >= 0 else shared[-1 - s] for s, _ in incoming]
            told = torch.stack([layer.project(v).view(layer.heads, -1) for v in vectors])
            scores = torch.zeros(len(incoming), layer.heads, dtype=DTYPE)
            if layer.attend is not None:
                own = (layer.project(x[node]).view(layer.heads, -1) * layer.attend[1]).sum(-1)
                roles = [ROLES.index(role) for _, role in incoming]
                scores = (told * layer.attend[0]).sum(-1) + own + layer.relation_bias[roles]
            weights = F.leaky_relu(scores, 0.2).softmax(0)
            heard = (weights.unsqueeze(-1) * told).sum(0)
        new.append(x[node] + F.relu(layer.norm(heard.flatten())))
    return torch.stack(new)


def plain_reading(
    manager: Manager, hypergraph: Hypergraph, observation: Observation, *, objects: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of an observation [1, ...]: h_logic [hidden], proposals [K, A], advice scores [K], and the
    instances' scores [I], all float64."""
    encoder = manager.nodes
    listed = [row for row in instances_of(observation)[0] if row["rule"] != NO_RULE]
    things = [row for row in objects_of(observation)[0] if row["kind"] != NOTHING] * objects
    holds = np.unpackbits(observation.active_bits[0], count=hypergraph.num_conditions)

    kept = observation.features[0][2 : NUM_FEATURES - len(ACTIONS)]
    x = [encoder.player(torch.tensor(np.concatenate([kept, holds]), dtype=DTYPE))]
    for instance in listed:
        rule = int(instance["rule"])
        priority = squash(hypergraph.operators[rule].priority or 0.0)
        own = encoder.identity[rule] + priority * encoder.trait[-1]
        for template in hypergraph.operators[rule].actions:
            own = own + encoder.trait[template.kind]
        x.append(own)
    proposed = [int(a) for row in listed for a in row["actions"] if a != NOTHING]
    actions = list(dict.fromkeys(proposed))
    for action in actions:
        name = ACTIONS[action]
        name = "run" if name.startswith("far_") else "move" if 1 <= action <= 8 else name
        x.append(encoder.action[ACTION_KINDS.index(name)])
    for thing in things:
        facts = torch.tensor(columns_of(thing, manager.read.columns), dtype=DTYPE)
        subject = -1 if thing["subject"] == NO_SUBJECT else int(thing["subject"])
        own = encoder.objects(facts) + encoder.monster(encoder.monsters[subject])
        x.append(encoder.norm(F.relu(own)))

    effects = [effect.name for effect in hypergraph.effects]
    edges = []
    for i, instance in enumerate(listed, 1):
        operator = hypergraph.operators[instance["rule"]]
        edges += [(i, 0, "instance_player"), (0, i, "player_instance")]
        for condition in {use.condition for use in operator.conditions}:
            edges.append((-1 - condition, i, "condition_instance"))
        for effect in set(operator.effects):
            edges.append((-1 - len(holds) - effects.index(effect), i, "effect_instance"))
        for action in instance["actions"][instance["actions"] != NOTHING]:
            node = 1 + len(listed) + actions.index(action)
            edges += [(i, node, "instance_action"), (node, i, "action_instance")]
    for j, thing in enumerate(things, 1 + len(listed) + len(actions)):
        edges += [(j, 0, "object_player"), (0, j, "player_object")]
        kind = vocabulary().kinds[thing["kind"]].name
        for i, instance in enumerate(listed, 1):
            bound = zip(hypergraph.operators[instance["rule"]].variables, instance["objects"])
            for place, role in zip(bound, ("first_instance", "second_instance")):
                if place == (kind, thing["place"]):
                    edges += [(j, i, role), (i, j, "instance_object")]

    x = plain_round(manager.first, torch.stack(x), encoder.shared, edges)
    x = plain_round(manager.second, x, encoder.shared, edges)
    rules = [int(row["rule"]) for row in listed]
    scores = manager.priority[rules] + manager.score(x[1 : 1 + len(listed)]).squeeze(1)
    num_experts = manager.proposals.num_experts
    claims = [[torch.zeros((), dtype=DTYPE)] * len(ACTIONS) for _ in range(num_experts)]
    for row, score in zip(listed, scores):
        expert = min(int(hypergraph.operator_expert[row["rule"]]), num_experts - 1)
        own = row["actions"][row["actions"] != NOTHING]
        for action in own:
            claims[expert][action] = claims[expert][action] + score.exp() / len(own)
    claims = torch.stack([torch.stack(row) for row in claims])
    loudness = claims.sum(1).log1p()
    proposals = claims.log1p() / loudness.clamp_min(1).unsqueeze(1)
    return manager.readout(x[0]), proposals, loudness, scores
