"""The policy and its loss in plain PyTorch: what one writes down from their definitions.

Nothing fused and no kernels: ``tedg_fast.ops.reference`` takes the place of ``tedg_fast.ops``. The
parameters are those of a ``Policy``, so that losses and gradients can be compared with its own.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tedg_fast.hypergraph.schema import ACTIONS
from tedg_fast.nethack.facts.features import UNDIRECTED
from tedg_fast.ops import reference
from tedg_fast.policy import Policy, PolicyInput, PolicyOutput, Scenes
from tedg_fast.policy.attention import GraphAttention
from tedg_fast.runs.config import PPOConfig
from tedg_fast.runs.phases import Settings


class Rows(NamedTuple):
    """Decisions as flat rows: what was seen and done, and what PPO makes of it.

    ``follows`` [B] bool: there was an observation of the same episode right after the action, and
    it shows ``shown`` [B, F]; row t·E + e is decision t of game e.
    """

    inputs: PolicyInput
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    returns: Tensor
    shown: Tensor
    follows: Tensor

    def take(self, rows: Tensor) -> "Rows":
        inputs, *others = self
        return Rows(inputs.select(rows), *(part[rows] for part in others))


class Edges(NamedTuple):
    """The edges of all scenes: ends among the nodes of all, shared ones last, and roles [E]."""

    source: Tensor
    target: Tensor
    role: Tensor

    @classmethod
    def of(cls, scenes: Scenes) -> "Edges":
        graph = scenes.graph
        first = graph.node_start[:-1].repeat_interleave(graph.edge_start.diff())
        source = graph.source.long()
        source = torch.where(source < 0, graph.num_nodes - 1 - source, source + first)
        return cls(source, graph.target + first, graph.relation.long())


class PlainPolicy:
    """``Policy`` with attention in gathers and scatters over the edges of all scenes."""

    def __init__(self, policy: Policy):
        self.policy = policy

    def _attend(self, layer: GraphAttention, x: Tensor, edges: Edges) -> Tensor:
        """One round of attention over node features ``x`` [N, width]."""
        sources = torch.cat([x, self.policy.manager.nodes.shared])
        told = layer.project(sources).unflatten(1, (layer.heads, layer.head_size))
        score = (told * layer.attend[0]).sum(-1)[edges.source]
        score = score + (told[: len(x)] * layer.attend[1]).sum(-1)[edges.target]
        score = F.leaky_relu(score + layer.relation_bias[edges.role], 0.2)
        place = edges.target.unsqueeze(1).expand_as(score)
        most = score.new_zeros(len(x), layer.heads).scatter_reduce(
            0, place, score.detach(), "amax", include_self=False
        )
        weight = (score - most[edges.target]).exp()
        total = torch.zeros_like(most).index_add(0, edges.target, weight)
        messages = weight.unsqueeze(-1) * told[edges.source]
        heard = told.new_zeros(len(x), *told.shape[1:]).index_add(0, edges.target, messages)
        heard = heard / total.clamp_min(1e-30).unsqueeze(-1)
        return x + F.relu(layer.norm(heard.flatten(1)))

    def _nodes(self, scenes: Scenes, features: Tensor) -> Tensor:
        """All nodes' first features [N, width]."""
        encoder, rules = self.policy.manager.nodes, len(self.policy.manager.priority)
        x = features.new_zeros(len(scenes.node), encoder.identity.shape[1])
        player = torch.cat([features[:, UNDIRECTED], scenes.holds], 1)
        own = encoder.identity[scenes.rule] + encoder.traits[scenes.rule] @ encoder.trait
        kinds = encoder.monster(encoder.monsters[scenes.subject])
        objects = encoder.norm(F.relu(encoder.objects(scenes.facts) + kinds))
        actions = (scenes.node >= rules).nonzero().squeeze(1)
        for place, rows in (
            (scenes.player_nodes, encoder.player(player)),
            (scenes.instance_nodes, own),
            (actions, encoder.action[scenes.node[actions] - rules]),
            (scenes.object_nodes, objects),
        ):
            x = x.index_copy(0, place, rows)
        return x

    def __call__(
        self, inputs: PolicyInput, action: Tensor | None, settings: Settings
    ) -> tuple[PolicyOutput, Tensor | None]:
        """The policy's output, and the logits [B, F] of the effects of ``action`` if given."""
        policy, manager, scenes = self.policy, self.policy.manager, inputs.scenes
        edges, count = Edges.of(scenes), manager.proposals.num_experts
        x = self._nodes(scenes, inputs.features)
        x = self._attend(manager.second, self._attend(manager.first, x, edges), edges)
        h_logic = manager.readout(x[scenes.player_nodes])
        instances = x[scenes.instance_nodes]
        learned = manager.score(instances).squeeze(1)
        # Each instance gives its strength to its actions, in equal parts.
        chosen = F.one_hot(scenes.actions, len(ACTIONS) + 1)[:, :, :-1].sum(1).float()
        share = (manager.priority[scenes.rule] + learned).exp() / chosen.sum(1)
        owner = F.one_hot(manager.proposals.owner[scenes.rule], count).float()
        said = torch.einsum("i,ik,ia->ika", share, owner, chosen)
        weight = said.new_zeros(len(scenes), count, len(ACTIONS))
        weight = weight.index_add(0, scenes.instance_sample, said)

        h_state = policy.state(inputs.features, inputs.crop)
        h_both = torch.cat([h_state, h_logic], 1)
        advice = weight.sum(2).log1p()
        proposals = weight.log1p() / advice.clamp_min(1).unsqueeze(2)
        own, advised = policy.router(h_both), policy.advice_weight * advice
        router_logits = own + advised
        expert_logits = policy.experts(h_state)
        proposed = expert_logits + policy.proposal_gain * proposals
        alpha, logits = reference.route(
            router_logits, proposed, mapping=settings.routing,
            temperature=settings.temperature, action_mask=inputs.action_mask,
        )  # fmt: skip
        value = policy.critic(h_both).squeeze(1)
        alignment = own + advised.detach()
        output = PolicyOutput(logits, value, alpha, router_logits, alignment, expert_logits, advice)
        if action is None:
            return output, None
        carried = (scenes.actions == action[scenes.instance_sample].unsqueeze(1)).any(1)
        heard = learned.exp() * carried
        zeros = inputs.features.new_zeros
        total = zeros(len(scenes)).index_add(0, scenes.instance_sample, heard)
        pooled = zeros(len(scenes), x.shape[1]).index_add(
            0, scenes.instance_sample, heard.unsqueeze(1) * instances
        )
        query = policy.effects.query(pooled / (1 + total).unsqueeze(1))
        effects = manager.nodes.shared[manager.num_conditions :][policy.effects.visible]
        return output, query @ effects.T / math.sqrt(query.shape[1]) + policy.effects.bias

    def loss(self, rows: Rows, settings: Settings, config: PPOConfig) -> Tensor:
        """PPO's loss with all terms of warmup's first update on; ``rows`` as segments of
        ``config.segment_decisions`` consecutive steps of a game.

        The temporal loss, whose coefficient is 0 throughout warmup, is left out.
        """
        output, effect_logits = self(rows.inputs, rows.action, settings)
        distribution = torch.distributions.Categorical(logits=output.logits)
        ratio = (distribution.log_prob(rows.action) - rows.log_prob).exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        policy = -torch.min(ratio * rows.advantage, clipped * rows.advantage).mean()
        value = F.mse_loss(output.value, rows.returns)
        overlap, semantic, diversity, balance, alpha_entropy = reference.routing_losses(
            output.alpha, output.expert_logits
        )
        advice = (output.advice_scores.detach() / settings.alignment_temperature).softmax(1)
        scores = output.alignment_logits / settings.temperature
        alignment = reference.fenchel_young_loss(settings.routing, scores, advice)
        effects = F.binary_cross_entropy_with_logits(
            effect_logits[rows.follows], rows.shown[rows.follows]
        )
        return (
            policy
            + config.value_coef * value
            - settings.entropy_coef * distribution.entropy().mean()
            + settings.alpha_entropy_coef * alpha_entropy
            + settings.load_balance_coef * balance
            + settings.diversity_coef * diversity
            + settings.alignment_coef * alignment
            + settings.semantic_coef * semantic
            + settings.overlap_coef * overlap
            + config.effect_coef * effects
        )
