"""The definition of every op in plain PyTorch, differentiable by autograd.

These functions are the truth that the native kernels are compared with, and what runs on a device
without a kernel. They take the arguments of the public functions (documented in
``tedg_fast.ops``), compute in float32 (float64 for float64 inputs) and allocate freely.
"""

import torch
from torch import Tensor

from tedg_fast.ops.graph import Graph


def accumulate_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype sums are kept in: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


_WORD = 0xFFFFFFFF


def _multiply(a: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """High and low word of the product of 32-bit numbers; int64 keeps its 64 bits by wrapping."""
    product = a * m
    return (product >> 32) & _WORD, product & _WORD


def philox(edge: Tensor, head: Tensor, sample: Tensor, seed: Tensor) -> Tensor:
    """First word of Philox4x32-10 (Salmon et al. 2011) at counter (edge, head, sample, 0)."""
    key0, key1 = seed & _WORD, (seed >> 32) & _WORD
    c0, c1, c2, c3 = edge, head, sample, torch.zeros_like(edge)
    for _ in range(10):
        high0, low0 = _multiply(c0, 0xD2511F53)
        high1, low1 = _multiply(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
        key0, key1 = (key0 + 0x9E3779B9) & _WORD, (key1 + 0xBB67AE85) & _WORD
    return c0


def keep_factors(weight: Tensor, dropout_p: float, dropout_seed: Tensor) -> Tensor:
    """1 / (1 - p) where dropout keeps a weight of ``weight`` [B, E, H] in row order, else 0."""
    batch, edges, heads = (
        torch.arange(size, device=weight.device).view(shape)
        for size, shape in zip(weight.shape, ((-1, 1, 1), (-1, 1), (-1,)), strict=True)
    )
    edges, heads, batch = torch.broadcast_tensors(edges, heads, batch)
    word = philox(edges, heads, batch, dropout_seed)
    keeps = word.double() >= dropout_p * 2.0**32
    return keeps.to(weight.dtype) * (1 / (1 - dropout_p) if dropout_p < 1 else 0.0)


def _attention(
    score_src: Tensor,
    score_dst: Tensor,
    graph: Graph,
    score_edge: Tensor | None,
    edge_bias: Tensor | None,
    negative_slope: float,
    node_mask: Tensor | None,
    dropout_p: float,
    dropout_seed: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [B, E, H] in the graph's row order, lse [B, M, H], and each edge's target [E]."""
    dtype = accumulate_dtype(score_src.dtype)
    rowptr, source = graph.rowptr.long(), graph.col.long()
    target = torch.repeat_interleave(
        torch.arange(graph.num_targets, device=source.device),
        rowptr[1:] - rowptr[:-1],
        output_size=graph.num_edges,
    )
    score = score_src.to(dtype)[:, source] + score_dst.to(dtype)[:, target]
    if edge_bias is not None:
        assert graph.relation is not None  # checked by the caller
        score = score + edge_bias.to(dtype)[graph.relation.long()]
    absent = score_src.detach() == -torch.inf
    if node_mask is not None:
        absent = absent | ~node_mask[:, :, None]
    absent = absent[:, source]
    if score_edge is not None:
        own = score_edge.to(dtype)[..., graph.edge_id.long(), :]
        score = score + own
        absent = absent | (own.detach() == -torch.inf)
    score = torch.nn.functional.leaky_relu(score, negative_slope)
    score = score.masked_fill(absent, -torch.inf)
    index = target[None, :, None].expand_as(score)
    top = score.new_full(score_dst.shape, -torch.inf, dtype=dtype)
    top = top.scatter_reduce(1, index, score.detach(), "amax")
    # A row whose scores are all -inf (or that has no edges) is empty: no weight, lse = -inf.
    empty = top == -torch.inf
    top = top.masked_fill(empty, 0)
    weight = torch.exp(score - top[:, target])
    total = torch.zeros_like(top).index_add(1, target, weight)
    weight = weight / total.masked_fill(empty, 1)[:, target]
    lse = torch.where(empty, -torch.inf, top + torch.log(total.masked_fill(empty, 1)))
    if dropout_p > 0:
        assert dropout_seed is not None  # drawn by the caller
        weight = weight * keep_factors(weight, dropout_p, dropout_seed)
    return weight, lse, target


def gat_attention(
    x: Tensor,
    score_src: Tensor,
    score_dst: Tensor,
    graph: Graph,
    *,
    score_edge: Tensor | None = None,
    edge_bias: Tensor | None = None,
    negative_slope: float = 0.2,
    node_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    dropout_seed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    weight, lse, target = _attention(
        score_src, score_dst, graph, score_edge, edge_bias, negative_slope, node_mask, dropout_p,
        dropout_seed,
    )  # fmt: skip
    # An edge of weight 0 adds nothing, even if its source holds NaN.
    features = x.to(weight.dtype)[:, graph.col.long()]
    message = weight.unsqueeze(-1) * features.masked_fill((weight == 0).unsqueeze(-1), 0)
    out = message.new_zeros(x.shape[0], graph.num_targets, *x.shape[2:])
    return out.index_add(1, target, message).to(x.dtype), lse


def gat_attention_weights(
    score_src: Tensor,
    score_dst: Tensor,
    graph: Graph,
    *,
    score_edge: Tensor | None = None,
    edge_bias: Tensor | None = None,
    negative_slope: float = 0.2,
    node_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    dropout_seed: Tensor | None = None,
) -> Tensor:
    weight, _, _ = _attention(
        score_src, score_dst, graph, score_edge, edge_bias, negative_slope, node_mask, dropout_p,
        dropout_seed,
    )  # fmt: skip
    out = torch.empty_like(weight)
    out[:, graph.edge_id.long()] = weight
    return out.to(score_src.dtype)


def gatv2_scores(
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    graph: Graph,
    *,
    x_edge: Tensor | None = None,
    negative_slope: float = 0.2,
) -> Tensor:
    dtype = accumulate_dtype(x_src.dtype)
    rowptr, order = graph.rowptr.long(), graph.edge_id.long()
    target = torch.repeat_interleave(
        torch.arange(graph.num_targets, device=order.device),
        rowptr[1:] - rowptr[:-1],
        output_size=graph.num_edges,
    )
    place = torch.empty_like(order)  # of each edge in the rows
    place[order] = torch.arange(graph.num_edges, device=order.device)
    z = x_src.to(dtype)[:, graph.col.long()[place]] + x_dst.to(dtype)[:, target[place]]
    if x_edge is not None:
        z = z + x_edge.to(dtype)
    return (torch.nn.functional.leaky_relu(z, negative_slope) * att.to(dtype)).sum(-1)


def sparsemax(x: Tensor, dim: int = -1) -> Tensor:
    # Martins & Astudillo 2016, algorithm 1: sort, find the support's size, threshold.
    z = x.to(accumulate_dtype(x.dtype)).movedim(dim, -1)
    z = z - z.detach().amax(-1, keepdim=True)
    top, _ = torch.sort(z, dim=-1, descending=True)
    sums = top.cumsum(-1) - 1
    rank = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
    # NaN compares false: a row with a NaN, or of nothing but -inf, must stay NaN, so it
    # takes the whole row as its support.
    support = (rank * top > sums) | top[..., :1].isnan()
    size = support.sum(-1, keepdim=True)
    threshold = sums.gather(-1, size - 1) / size
    weight = z - threshold
    return torch.where(weight <= 0, 0, weight).movedim(-1, dim).to(x.dtype)


def routing_map(mapping: str, scores: Tensor) -> Tensor:
    """softmax or sparsemax of the last dimension, by name."""
    return sparsemax(scores) if mapping == "sparsemax" else torch.softmax(scores, -1)


def route(
    router_logits: Tensor,
    expert_logits: Tensor,
    *,
    mapping: str = "softmax",
    temperature: float = 1.0,
    action_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    dtype = accumulate_dtype(router_logits.dtype)
    alpha = routing_map(mapping, router_logits.to(dtype) / temperature)
    # An expert of weight 0 takes no part, and a logit of -inf passes no gradient.
    barred = expert_logits == -torch.inf
    z = expert_logits.to(dtype).masked_fill(barred, 0)
    used = alpha.unsqueeze(-1) != 0
    logits = torch.where(used, alpha.unsqueeze(-1) * torch.where(used, z, 0), 0).sum(1)
    logits = logits + torch.where((used & barred).any(1), -torch.inf, 0)
    logits = logits.to(expert_logits.dtype)
    if action_mask is not None:
        logits = logits.masked_fill(~action_mask, torch.finfo(logits.dtype).min)
    return alpha.to(router_logits.dtype), logits


def fenchel_young_loss(mapping: str, scores: Tensor, target: Tensor) -> Tensor:
    # Blondel, Martins & Niculae 2020, definition 2: Omega*(z) + Omega(q) - <z, q>.
    dtype = accumulate_dtype(scores.dtype)
    z, q = scores.to(dtype), target.detach().to(dtype)
    if z[..., 0].numel() == 0:
        return scores.sum() * 0.0
    # Both terms of <p - q, z> that meet z = -inf (a masked choice) with p = q = 0 are 0.
    z = z - z.detach().amax(-1, keepdim=True)
    if mapping == "sparsemax":
        p = sparsemax(z)
        gap = p - q
        linear = torch.where(gap == 0, 0, gap * torch.where(gap == 0, 0, z))
        per_row = linear - 0.5 * (p**2 - q**2)
        return per_row.sum(-1).mean()
    linear = torch.where(q == 0, 0, q * torch.where(q == 0, 0, z))
    return (torch.logsumexp(z, -1) + (torch.xlogy(q, q) - linear).sum(-1)).mean()


def sparsemax_loss(scores: Tensor, target: Tensor) -> Tensor:
    return fenchel_young_loss("sparsemax", scores, target)


def _cosines(expert_logits: Tensor) -> Tensor:
    """cos(z_i, z_j) of each sample [B, K, K] with a zero diagonal; a zero vector has cosine 0."""
    z = expert_logits.to(accumulate_dtype(expert_logits.dtype))
    if z.shape[-1] == 0:
        return z @ z.transpose(-1, -2)
    # The cosine does not depend on a vector's length: scaling first keeps its square finite.
    scale = z.detach().abs().amax(-1, keepdim=True)
    z = z / scale.masked_fill(scale == 0, 1)
    square = (z * z).sum(-1, keepdim=True)
    unit = z * torch.where(square == 0, 0, torch.rsqrt(square.masked_fill(square == 0, 1)))
    gram = unit @ unit.transpose(-1, -2)
    return gram * (1 - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device))


def expert_overlap(alpha: Tensor, expert_logits: Tensor) -> Tensor:
    cosine = _cosines(expert_logits)
    a = alpha.to(cosine.dtype)
    return torch.einsum("bi,bij,bj->", a, cosine, a) / max(a.shape[0], 1)


def routing_losses(
    alpha: Tensor, expert_logits: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    cosine = _cosines(expert_logits)
    a = alpha.to(cosine.dtype)
    batch, experts = max(a.shape[0], 1), a.shape[1]
    overlap = torch.einsum("bi,bij,bj->", a, cosine, a) / batch
    semantic = cosine.abs().sum() / (batch * experts * experts)
    # The sum over i != j counts each pair twice, as does K (K - 1).
    diversity = cosine.sum() / (batch * max(experts * (experts - 1), 1))
    load_balance = ((a.sum(0) / batch - 1 / experts) ** 2).mean() * min(a.shape[0], 1)
    used = a > 0
    entropy = -(a * torch.log(a.masked_fill(~used, 1))).sum() / batch
    return overlap, semantic, diversity, load_balance, entropy


def concat_embedding(features: Tensor, index: Tensor, table: Tensor) -> Tensor:
    # Not table[index]: the gradient of many lookups of few rows is ten times cheaper here.
    rows = table.index_select(0, index.flatten().long())
    rows = rows.view(len(index), index.shape[1] * table.shape[1])
    return torch.cat([features.detach(), rows], 1)
