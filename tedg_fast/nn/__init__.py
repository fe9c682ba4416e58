"""Modules on the native ops, for any model; they need neither NetHack nor this package's training
code.
"""

from tedg_fast.nn.gat import GATConv
from tedg_fast.nn.gatv2 import GATv2Conv
from tedg_fast.nn.routing import ExpertRouter, Sparsemax

__all__ = ["ExpertRouter", "GATConv", "GATv2Conv", "Sparsemax"]
