"""Modules on the native ops, for anyone's model; they need neither NetHack nor this package's
training code.
"""

from tedg_fast.nn.gat import SparseGATConv
from tedg_fast.nn.routing import ExpertRouter, Sparsemax

__all__ = ["ExpertRouter", "SparseGATConv", "Sparsemax"]
