"""Graphs of the sizes that people train on, drawn at random from a seed."""

from dataclasses import fields
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tedg_fast.ops import GraphBatch


class Nodes(NamedTuple):
    """Node features [N, F] and the edges between the nodes, [2, E]."""

    x: Tensor
    edge_index: Tensor


def _features(nodes: int, width: int, generator: torch.Generator) -> Tensor:
    return torch.randn(nodes, width, generator=generator)


def _power_law(nodes: int, edges: int, generator: torch.Generator) -> Tensor:
    """Targets at random, sources with popularity falling as a power of their rank."""
    popularity = (torch.arange(nodes, dtype=torch.float64) + 10.0) ** -0.8
    source = torch.multinomial(popularity, edges, replacement=True, generator=generator)
    source = torch.randperm(nodes, generator=generator)[source]
    return torch.stack([source, torch.randint(0, nodes, (edges,), generator=generator)])


def cora() -> Nodes:
    """2,708 papers of 1,433 rare words each, 10,556 citations."""
    generator = torch.Generator().manual_seed(0)
    words = (torch.rand(2708, 1433, generator=generator) < 0.0127).float()
    edges = torch.randint(0, 2708, (2, 5278), generator=generator)
    return Nodes(words, torch.cat([edges, edges.flip(0)], 1))


def arxiv() -> Nodes:
    """The size of ogbn-arxiv: 169,343 papers, 128 features, 1,166,243 citations."""
    generator = torch.Generator().manual_seed(0)
    return Nodes(_features(169_343, 128, generator), _power_law(169_343, 1_166_243, generator))


def molecules() -> Nodes:
    """256 molecules of 23 atoms and 50 bonds as one graph of so many components."""
    generator = torch.Generator().manual_seed(0)
    bonds = torch.randint(0, 23, (2, 256, 25), generator=generator)
    bonds = (bonds + 23 * torch.arange(256)[:, None]).flatten(1)
    return Nodes(_features(256 * 23, 64, generator), torch.cat([bonds, bonds.flip(0)], 1))


def dense() -> Nodes:
    """600 nodes, each a neighbour of every other."""
    generator = torch.Generator().manual_seed(0)
    return Nodes(_features(600, 64, generator), torch.ones(600, 600).nonzero().t().contiguous())


def nethack() -> Nodes:
    """64 samples of the packaged rules' size as one graph: 530 nodes and 3,500 edges each."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 530, (3500,), generator=generator)
    target[:198] = 7
    edges = torch.stack([torch.randint(0, 530, (3500,), generator=generator), target])
    edges = (edges[:, None] + 530 * torch.arange(64)[:, None]).flatten(1)
    return Nodes(_features(64 * 530, 32, generator), edges)


def _batch(nodes: Tensor, edges: Tensor, shared: float, num_shared: int) -> GraphBatch:
    """Graphs of so many nodes and edges; a share of the edges comes from shared nodes."""
    generator = torch.Generator().manual_seed(0)
    starts = [torch.nn.functional.pad(count.cumsum(0), (1, 0)) for count in (nodes, edges)]
    size = nodes.repeat_interleave(edges)
    source, target = ((torch.rand(len(size), generator=generator) * size).long() for _ in range(2))
    if num_shared:
        hub = -1 - torch.randint(0, num_shared, (len(size),), generator=generator)
        source = torch.where(torch.rand(len(size), generator=generator) < shared, hub, source)
    relation = torch.randint(0, 8, (len(size),), generator=generator)
    return GraphBatch(*starts, source, target, relation, num_shared)


def small_graphs() -> GraphBatch:
    """2,048 graphs of 40 nodes and 240 edges."""
    return _batch(torch.full((2048,), 40), torch.full((2048,), 240), 0.0, 0)


@cache
def decisions(count: int = 2048) -> GraphBatch:
    """The scene graphs of so many decisions in games that the packaged rules play."""
    # Here, as everything else needs no games.
    from tedg_fast.hypergraph import load_hypergraph
    from tedg_fast.nethack.facts.grounder import Grounder
    from tedg_fast.nethack.games.vector_env import VectorEnv
    from tedg_fast.policy.scenes import SceneReader

    rules, games, every = load_hypergraph(), 16, 8
    read, grounder = SceneReader(rules, objects=True), Grounder(rules, 0)
    draws, seen = np.random.default_rng(0), []
    with VectorEnv(rules, num_envs=games, num_workers=2, run_seed=0, max_steps=2000) as env:
        env.start()
        for step in range(every * count // games):
            env.step(grounder.choose(env.observation, draws.random(games))[0])
            if step % every == 0:
                seen.append(env.observation.copy())
    parts = zip(*([getattr(one, field.name) for field in fields(one)] for one in seen))
    return read(type(seen[0])(*map(np.concatenate, parts))).graph
