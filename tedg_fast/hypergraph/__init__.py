"""Hypergraphs of rules: the JSON format (see README.md in this folder), its loader, its graph."""

from tedg_fast.hypergraph.loader import load_hypergraph
from tedg_fast.hypergraph.schema import (
    ACTIONS,
    EXPERTS,
    RELATIONS,
    Condition,
    Effect,
    Hypergraph,
    HypergraphError,
    Operator,
)

__all__ = [
    "ACTIONS",
    "EXPERTS",
    "RELATIONS",
    "Condition",
    "Effect",
    "Hypergraph",
    "HypergraphError",
    "Operator",
    "load_hypergraph",
]
