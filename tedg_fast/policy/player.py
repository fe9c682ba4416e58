"""A policy at play: its pass without gradients, for as long as its parameters stay as they are."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.policy.gat import Manager
from tedg_fast.policy.policy import Policy, Routing, StateInput


class Play(NamedTuple):
    """float32 on the CPU: ``logits`` [B, A] (masked), ``value`` [B], ``alpha`` [B, K]."""

    logits: Tensor
    value: Tensor
    alpha: Tensor


class Player:
    """Evaluates a policy, ``Policy`` or another with its interface, by its own forward pass."""

    def __init__(self, policy: nn.Module, routing: Routing):
        self.policy, self.routing = policy, routing
        self.rules = policy.manager.rules()

    def __call__(self, observation: Observation) -> Play:
        """What the policy makes of the B games of ``observation`` [B, ...]."""
        state = StateInput.of(observation, self.policy.device)
        logic = self.policy.manager(self.rules, self.policy.active(observation))
        output = self.policy(state, logic, self.routing)
        return Play(output.logits.cpu(), output.value.cpu(), output.alpha.cpu())


class CompiledPlayer(Player):
    """The same numbers, to within rounding, from one native call on the CPU.

    A step of a rollout has a few dozen rows: operator by operator, PyTorch spends several times as
    long on the calls as on the arithmetic. The weights are copied, so that later changes of
    the policy's parameters have no effect.
    """

    def __init__(self, policy: Policy, routing: Routing):
        super().__init__(policy, routing)
        experts = (*_layer(policy.experts.hidden), policy.experts.weight, policy.experts.bias)
        rules = (self.rules.facts, self.rules.operators, self.rules.strength)
        tensors = (
            rules,
            policy.manager.proposals.owner,
            policy.state.glyphs.weight,
            _layers(policy.state.mlp),
            _layers(policy.manager.readout),
            _layers(policy.router) if policy.router is not None else (),
            experts,
            policy.proposal_gain,
            _layers(policy.critic),
        )
        self._parameters = tuple(
            list(map(_copy, value)) if isinstance(value, tuple) else _copy(value)
            for value in tensors
        )

    def __call__(self, observation: Observation) -> Play:
        return Play(*torch.ops.tedg.play_policy.default(*self.arguments(observation)))

    def arguments(self, observation: Observation) -> tuple:
        """What the op is called with."""
        fields = (
            observation.active_bits, observation.instances, observation.features,
            observation.crop, observation.action_mask,
        )  # fmt: skip
        return (
            *map(torch.from_numpy, fields),
            *self._parameters,
            self.policy.advice_weight,
            self.routing.mapping == "sparsemax",
            self.routing.temperature,
        )


@torch.no_grad()
def player_of(policy: nn.Module, routing: Routing) -> Player:
    """The fastest player there is for the policy."""
    compiled = (
        isinstance(policy, Policy)
        and isinstance(policy.manager, Manager)
        and policy.device.type == "cpu"
    )
    return CompiledPlayer(policy, routing) if compiled else Player(policy, routing)


def _copy(tensor: Tensor) -> Tensor:
    """The numbers alone, densely packed."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _layer(linear: nn.Linear, norm: nn.LayerNorm | None = None) -> tuple[Tensor, ...]:
    """Weight [inputs, outputs], bias, scale and shift (empty without ``norm``)."""
    none = linear.bias.new_empty(0)
    scale, shift = (none, none) if norm is None else (norm.weight, norm.bias)
    return linear.weight.t(), linear.bias, scale, shift


def _layers(network: nn.Sequential) -> tuple[Tensor, ...]:
    """``_layer`` of each linear layer in turn, with the LayerNorm that follows it, if one does."""
    tensors: tuple[Tensor, ...] = ()
    for place, module in enumerate(network):
        if isinstance(module, nn.Linear):
            norm = network[place + 2] if place + 2 < len(network) else None
            tensors += _layer(module, norm if isinstance(norm, nn.LayerNorm) else None)
    return tensors

