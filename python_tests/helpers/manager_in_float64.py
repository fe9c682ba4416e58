"""A Manager whose sums can be told apart from rounding, and its inputs."""

from dataclasses import replace

import torch
from real_states import HYPERGRAPH

from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.policy import Manager, PolicyInput, Reading


def make_manager(kind="attention", num_experts=4) -> Manager:
    """In float64, with no parameter at its special first value."""
    torch.manual_seed(0)
    manager = Manager(
        HYPERGRAPH, hidden_size=8, heads=4, head_size=8, num_experts=num_experts, kind=kind
    )
    with torch.no_grad():
        for parameter in manager.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return manager.double()


def inputs_of(manager: Manager, observation: Observation) -> PolicyInput:
    """In float64, as the manager."""
    inputs = PolicyInput.of(observation, manager.scenes(observation), "cpu")
    scenes = inputs.scenes
    scenes = replace(scenes, facts=scenes.facts.double(), holds=scenes.holds.double())
    return inputs._replace(features=inputs.features.double(), scenes=scenes)


def read(manager: Manager, observation: Observation) -> Reading:
    return manager(inputs_of(manager, observation))
