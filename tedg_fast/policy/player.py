"""A policy at play: its forward pass without gradients, for parameters that do not change."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tedg_fast.nethack.facts.features import NUM_FEATURES, UNDIRECTED
from tedg_fast.nethack.facts.observation import Observation
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


class CompiledPlayer(Player):
    """The same numbers, to within rounding, from one native call on the CPU.

    A step of a rollout has a few rows; PyTorch, operator by operator, would spend several times as
    long on the calls as on the arithmetic. The weights are copied, so that later changes of the
    policy's parameters have no effect.

    Attributes: ``SCENES``, the names of ``SceneReader.arrays`` in the order in which the op takes
    them.
    """

    SCENES = (
        "node_start", "edge_start", "source", "target", "role", "node", "instance_start",
        "object_start", "actions", "facts", "subject", "holds",
    )  # fmt: skip

    @torch.no_grad()
    def __init__(self, policy: Policy, routing: Routing):
        super().__init__(policy, routing)
        manager = policy.manager
        assert isinstance(manager, Manager)  # no other has a native call
        nodes = manager.nodes
        none = nodes.shared.new_empty(0)
        objects = (none,) * 4
        if nodes.objects is not None:
            objects = (
                self.tables.monsters, nodes.objects.weight.t(), nodes.norm.weight, nodes.norm.bias
            )  # fmt: skip
        experts = (*_layer(policy.experts.hidden), policy.experts.weight, policy.experts.bias)
        parameters = (
            (self.tables.numbered, *objects, *_layers(nodes.player)),
            (*_round(manager.first, nodes.shared), *_round(manager.second, nodes.shared)),
            (manager.priority, manager.score.weight.squeeze(0), manager.proposals.owner),
            policy.state.glyphs.weight,
            _layers(policy.state.mlp),
            _layers(manager.readout),
            _layers(policy.router) if policy.router is not None else (),
            experts,
            policy.proposal_gain,
            _layers(policy.critic),
        )
        player = range(NUM_FEATURES)[UNDIRECTED]
        self._arguments = (
            *(
                list(map(_copy, value)) if isinstance(value, tuple) else _copy(value)
                for value in parameters
            ),
            player.start, player.stop, policy.advice_weight, policy.direct,
            routing.mapping == "sparsemax", routing.temperature,
        )  # fmt: skip

    def __call__(self, observation: Observation) -> Play:
        return Play(*torch.ops.tedg.play_policy.default(*self.arguments(observation)))

    def arguments(self, observation: Observation) -> tuple:
        """What the op is called with."""
        fields = (observation.features, observation.crop, observation.action_mask)
        arrays = self.policy.manager.read.arrays(observation)
        scenes = [arrays[name] for name in self.SCENES]
        return (*map(torch.from_numpy, fields), scenes, *self._arguments)


def player_of(policy: Any, routing: Routing) -> Player:
    """The fastest player there is for the policy."""
    if (
        isinstance(policy, Policy)
        and isinstance(policy.manager, Manager)
        and policy.device.type == "cpu"
    ):
        return CompiledPlayer(policy, routing)
    return Player(policy, routing)


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


def _round(layer: GraphAttention, shared: Tensor) -> tuple[Tensor, ...]:
    """Projection and scores [width, width + 2 heads], the relations' bias [R, heads], LayerNorm's
    scale and shift, and the ``shared`` nodes projected."""
    projection = layer.projection().t()
    learned = layer.relation_bias  # without it, all neighbours weigh the same
    bias = projection.new_zeros(len(ROLES), layer.heads) if learned is None else learned
    return projection, bias, layer.norm.weight, layer.norm.bias, shared @ projection
