"""Fused sparse-attention and routing ops, each also registered as ``torch.ops.tedg.*``.

Every op has a definition in plain PyTorch (:mod:`tedg_fast.ops.reference`), which also runs on
devices without a native kernel.
"""

from tedg_fast.ops import _register  # noqa: F401  (autograd and fakes of the native ops)
from tedg_fast.ops.attention import gat_attention, gat_attention_weights
from tedg_fast.ops.embedding import concat_embedding
from tedg_fast.ops.entmax import entmax15
from tedg_fast.ops.fenchel_young import entmax15_loss, fenchel_young_loss, sparsemax_loss
from tedg_fast.ops.gatv2 import gatv2_attention, gatv2_scores
from tedg_fast.ops.graph import Graph
from tedg_fast.ops.graph_batch import GraphBatch
from tedg_fast.ops.losses import RoutingLosses, expert_overlap, routing_losses
from tedg_fast.ops.routing import route, sparsemax

__all__ = [
    "Graph",
    "GraphBatch",
    "RoutingLosses",
    "concat_embedding",
    "entmax15",
    "entmax15_loss",
    "expert_overlap",
    "fenchel_young_loss",
    "gat_attention",
    "gat_attention_weights",
    "gatv2_attention",
    "gatv2_scores",
    "route",
    "routing_losses",
    "sparsemax",
    "sparsemax_loss",
]
