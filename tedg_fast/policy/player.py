"""A policy at play: its forward pass without gradients, for parameters that do not change."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tedg_fast.nethack.facts.features import NUM_FEATURES, UNDIRECTED
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.nethack.player import PlayerSetup
from tedg_fast.policy.attention import GraphAttention
from tedg_fast.policy.manager import Manager
from tedg_fast.policy.policy import Policy, Routing
from tedg_fast.policy.scenes import ROLES


class Play(NamedTuple):
    """float32 on the CPU: ``logits`` [B, A] (masked), ``value`` [B], ``alpha`` [B, K]."""

    logits: Tensor
    value: Tensor
    alpha: Tensor


class Player:
    """Evaluates a policy, ``Policy`` or another with its interface, by its own forward pass."""

    @torch.no_grad()
    def __init__(self, policy: Any, routing: Routing):
        self.policy, self.routing = policy, routing
        self.tables = policy.tables()

    @torch.no_grad()
    def __call__(self, observation: Observation) -> Play:
        """What the policy makes of the B games of ``observation`` [B, ...]."""
        output = self.policy(self.policy.inputs(observation), self.routing, self.tables)
        return Play(output.logits.cpu(), output.value.cpu(), output.alpha.cpu())


class NativePlayer(Player):
    """The same numbers, to within rounding, from one native call on the CPU.

    A step of a game has a few rows; PyTorch, operator by operator, would spend many times as long
    on the calls as on the arithmetic. The weights are copied, so that later changes of the policy's
    parameters have no effect.
    """

    def __init__(self, policy: Policy, routing: Routing):
        super().__init__(policy, routing)
        self._native = player_setup(policy).player(flat_weights(policy, routing))

    def __call__(self, observation: Observation) -> Play:
        return Play(*map(torch.from_numpy, self._native(observation)))


def player_of(policy: Any, routing: Routing) -> Player:
    """The fastest player there is for the policy."""
    return NativePlayer(policy, routing) if has_native_player(policy) else Player(policy, routing)


def has_native_player(policy: Any) -> bool:
    """Whether the policy can play without PyTorch: it reads the graph, and is on the CPU."""
    return (
        isinstance(policy, Policy)
        and isinstance(policy.manager, Manager)
        and policy.device.type == "cpu"
    )


def player_setup(policy: Policy) -> PlayerSetup:
    """How a policy that ``has_native_player`` is built, for its native player."""
    manager = policy.manager
    assert isinstance(manager, Manager)  # no other has a native player
    weights = _weights(policy, Routing("softmax", 1.0))
    player = range(NUM_FEATURES)[UNDIRECTED]
    return PlayerSetup(
        scenes=manager.read.settings,
        shapes=tuple(tuple(tuple(weight.shape) for weight in group) for group in weights),
        owner=tuple(manager.proposals.owner.tolist()),
        experts=len(policy.proposal_gain),
        features=NUM_FEATURES,
        player_features=(player.start, player.stop),
        advice_weight=policy.advice_weight,
        direct=policy.direct,
    )


def flat_weights(policy: Policy, routing: Routing) -> np.ndarray:
    """A copy of the parameters as the native player takes them: float32 [num_weights]."""
    groups = _weights(policy, routing)
    flat = torch.cat([weight.reshape(-1) for group in groups for weight in group])
    return flat.detach().numpy()


@torch.no_grad()
def _weights(policy: Policy, routing: Routing) -> tuple[tuple[Tensor, ...], ...]:
    """All weights, by the groups that csrc/nethack/player/player.h names."""
    manager, tables = policy.manager, policy.tables()
    assert isinstance(manager, Manager) and tables is not None
    nodes = manager.nodes
    none = nodes.shared.new_empty(0)
    objects = (none,) * 4
    if nodes.objects is not None:
        assert tables.monsters is not None
        objects = (
            tables.monsters, nodes.objects.weight.t(), nodes.norm.weight, nodes.norm.bias
        )  # fmt: skip
    return (
        (tables.numbered, *objects, *_layers(nodes.player)),
        (*_round(manager.first, nodes.shared), *_round(manager.second, nodes.shared)),
        (manager.priority, manager.score.weight.squeeze(0)),
        (policy.state.glyphs.weight,),
        _layers(policy.state.mlp),
        _layers(manager.readout),
        _layers(policy.router) if policy.router is not None else (),
        (*_layer(policy.experts.hidden), policy.experts.weight, policy.experts.bias),
        (policy.proposal_gain,),
        _layers(policy.critic),
        (none.new_tensor([routing.mapping == "sparsemax", routing.temperature]),),
    )


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


def _round(layer: GraphAttention, shared: Tensor) -> tuple[Tensor, ...]:
    """Projection and scores [width, width + 2 heads], the relations' bias [R, heads], LayerNorm's
    scale and shift, and the ``shared`` nodes projected."""
    projection = layer.projection().t()
    learned = layer.relation_bias  # without it, all neighbours weigh the same
    bias = projection.new_zeros(len(ROLES), layer.heads) if learned is None else learned
    return projection, bias, layer.norm.weight, layer.norm.bias, shared @ projection
