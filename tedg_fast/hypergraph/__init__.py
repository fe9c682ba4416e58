"""Rules that people write: the language (see README.md in this folder), its loader, its graph."""

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
    Use,
    expert_name,
)
from tedg_fast.hypergraph.templates import Do, Keyboard, Template
from tedg_fast.hypergraph.vocabulary import Attribute, Kind, Vocabulary

__all__ = [
    "ACTIONS",
    "EXPERTS",
    "RELATIONS",
    "Attribute",
    "Condition",
    "Do",
    "Effect",
    "Hypergraph",
    "HypergraphError",
    "Keyboard",
    "Kind",
    "Operator",
    "Template",
    "Use",
    "Vocabulary",
    "expert_name",
    "load_hypergraph",
]
