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
from tedg_fast.nethack.facts.observation import NO_RULE, NOTHING
from tedg_fast.ops import reference
from tedg_fast.policy import Policy, PolicyOutput, StateInput
from tedg_fast.policy.gat import GraphAttention
from tedg_fast.train.config import PPOConfig
from tedg_fast.train.phases import Settings


class Applying(NamedTuple):
    """The logic stream's part of an observation: ``holds`` [B, C] bool, the conditions that hold;
    ``instances`` [B, I, 8] uint8, the rules that apply (``Observation.instances``)."""

    holds: Tensor
    instances: Tensor

    def listed(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rules [B, I] (0 where there is none), whether there is one [B, I] bool, and the actions
        that carry it out, [B, I, A] of 0 or 1."""
        numbers = self.instances.long()
        rule = numbers[..., 0] + 256 * numbers[..., 1]
        exists = rule != NO_RULE
        actions = numbers[..., 4:].masked_fill(~exists.unsqueeze(2), NOTHING)
        chosen = (actions.unsqueeze(3) == torch.arange(len(ACTIONS))).any(2).float()
        return rule.masked_fill(~exists, 0), exists, chosen


class Rows(NamedTuple):
    """Transitions as flat rows: what was seen and done, and what PPO makes of it.

    ``follows`` [B] bool: the next observation is of the same episode and known, and shows
    ``shown`` [B, F]; row t·E + e is step t of game e.
    """

    state: StateInput
    applying: Applying
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    returns: Tensor
    shown: Tensor
    follows: Tensor

    def take(self, rows: Tensor) -> "Rows":
        state, applying, *others = self
        return Rows(
            StateInput(*(field[rows] for field in state)),
            Applying(*(field[rows] for field in applying)),
            *(x[rows] for x in others),
        )


class PlainPolicy:
    """``Policy`` with the graph evaluated for every sample, or once a batch if ``shared``.

    Every sample has its own graph whose active nodes are the conditions that hold in it. What is
    read comes out the same as if all held, so one evaluation can serve the whole batch: the one
    saving that ``shared`` stands for.
    """

    def __init__(self, policy: Policy, *, shared: bool):
        self.policy, self.shared = policy, shared

    def _attend(self, layer: GraphAttention, x: Tensor) -> Tensor:
        """One round of attention over node features [B, N, width]."""
        projected = layer.project(x).unflatten(2, (layer.heads, layer.head_size))
        source, target = (projected.unsqueeze(2) * layer.attend).sum(-1).unbind(2)
        graph, bias = self.policy.manager.graph, layer.relation_bias
        out, _ = reference.gat_attention(projected, source, target, graph, edge_bias=bias)
        return x + F.relu(layer.norm(out.flatten(2) + layer.bias))

    def _nodes(self, holds: Tensor) -> tuple[Tensor, Tensor]:
        """All nodes' features after the first and after the second round, [B, N, width]."""
        manager = self.policy.manager
        kind = manager.traits[:, :3]
        active = holds.new_zeros(len(holds), len(kind))
        active[:, : manager.num_conditions] = holds
        x = manager.identity + kind @ manager.trait[:3] + manager.trait[3:][active.long()]
        first = self._attend(manager.first, x)
        return first, self._attend(manager.second, first)

    def __call__(
        self, state: StateInput, applying: Applying, action: Tensor | None, settings: Settings
    ) -> tuple[PolicyOutput, Tensor | None]:
        """The policy's output, and the logits [B, F] of the effects of ``action`` if given."""
        policy, manager = self.policy, self.policy.manager
        conditions, holds = manager.num_conditions, applying.holds
        first, second = self._nodes(torch.ones_like(holds[:1]) if self.shared else holds)
        operators = second[:, conditions : conditions + manager.num_operators]
        rule, exists, chosen = applying.listed()
        applies = found(rule, exists, manager.num_operators)
        holds = holds.float()

        score = manager.score(operators).squeeze(2)
        heard = applies * score.exp()
        pooled = pool(heard, operators) / (1 + heard.sum(1, keepdim=True))
        facts = pool(holds, first[:, :conditions]) / holds.sum(1, keepdim=True).clamp_min(1)
        h_logic = manager.readout(torch.cat([pooled, facts], 1))
        # Each instance gives its rule's strength to its actions, in equal parts.
        strength = (manager.proposals.priority + score).exp().expand(len(rule), -1)
        share = strength.gather(1, rule) / chosen.sum(2).clamp_min(1)
        owner = F.one_hot(manager.proposals.owner[rule], manager.proposals.num_experts).float()
        weight = torch.einsum("bi,bik,bia->bka", share * exists, owner, chosen)

        h_state = policy.state(state.features, state.crop)
        h_both = torch.cat([h_state, h_logic], 1)
        advice = weight.sum(2).log1p()
        proposals = weight.log1p() / advice.clamp_min(1).unsqueeze(2)
        router_logits = policy.router(h_both) + policy.advice_weight * advice.detach()
        expert_logits = policy.experts(h_state)
        proposed = expert_logits + policy.proposal_gain * proposals
        alpha, logits = reference.route(
            router_logits, proposed, mapping=settings.routing,
            temperature=settings.temperature, action_mask=state.action_mask,
        )  # fmt: skip
        value = policy.critic(h_both).squeeze(1)
        output = PolicyOutput(logits, value, alpha, router_logits, expert_logits, advice)
        if action is None:
            return output, None
        effects = first[:, conditions + manager.num_operators :]
        carried = exists & (chosen[torch.arange(len(action)), :, action] > 0)
        heard = found(rule, carried, manager.num_operators) * score.exp()
        return output, self._effects(operators, heard, effects)

    def _effects(self, operators: Tensor, carried: Tensor, effects: Tensor) -> Tensor:
        predictor = self.policy.effects
        pooled = pool(carried, operators) / (1 + carried.sum(1, keepdim=True))
        query = predictor.query(pooled)
        logits = pool(query, effects[:, predictor.visible].transpose(1, 2))
        return logits / math.sqrt(query.shape[1]) + predictor.bias

    def loss(self, rows: Rows, settings: Settings, config: PPOConfig) -> Tensor:
        """PPO's loss with all terms of warmup's first update on; ``rows`` as segments of
        ``config.segment_decisions`` consecutive steps of a game.

        The temporal loss, whose coefficient is 0 throughout warmup, is left out.
        """
        output, effect_logits = self(rows.state, rows.applying, rows.action, settings)
        distribution = torch.distributions.Categorical(logits=output.logits)
        ratio = (distribution.log_prob(rows.action) - rows.log_prob).exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        policy = -torch.min(ratio * rows.advantage, clipped * rows.advantage).mean()
        value = F.mse_loss(output.value, rows.returns)
        overlap, semantic, diversity, balance, alpha_entropy = reference.routing_losses(
            output.alpha, output.expert_logits
        )
        advice = (output.advice_scores.detach() / settings.alignment_temperature).softmax(1)
        scores = output.router_logits / settings.temperature
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


def pool(weight: Tensor, values: Tensor) -> Tensor:
    """Σ_i ``weight`` [B, I] · ``values`` [B, I, J] → [B, J]; one row of values may do."""
    if len(values) == 1:
        return weight @ values[0]
    return torch.bmm(weight.unsqueeze(1), values).squeeze(1)


def found(rule: Tensor, exists: Tensor, count: int) -> Tensor:
    """[B, I] rules, of which some exist → [B, count] of 0 or 1: which are among them."""
    times = torch.zeros(len(rule), count).scatter_add(1, rule, exists.float())
    return (times > 0).float()
