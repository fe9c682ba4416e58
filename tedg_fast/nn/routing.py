"""Sparse routing over experts."""

from torch import Tensor, nn

from tedg_fast.ops import RoutingLosses, route, routing_losses, sparsemax


class Sparsemax(nn.Module):
    """Projects its input onto the probability simplex along ``dim``; see
    :func:`tedg_fast.ops.sparsemax`.

    Example:
        >>> import torch
        >>> from tedg_fast.nn import Sparsemax
        >>> Sparsemax()(torch.tensor([3.0, 0.0, 0.0]))
        tensor([1., 0., 0.])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return sparsemax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class ExpertRouter(nn.Module):
    """Mixes the logits of K experts by weights that a small network reads from the state.

    Args:
        in_features: width of the state.
        num_experts: K.
        hidden: width of the router's hidden layer.
        mapping: "sparsemax" (weights may be exactly 0) or "softmax".
        temperature: divides the router's scores; below 1 sharpens.

    Example:
        >>> import torch
        >>> from tedg_fast.nn import ExpertRouter
        >>> router = ExpertRouter(in_features=32, num_experts=4)
        >>> alpha, logits = router(torch.randn(8, 32), torch.randn(8, 4, 23))
        >>> alpha.shape, logits.shape
        (torch.Size([8, 4]), torch.Size([8, 23]))
        >>> losses = router.losses(alpha, torch.randn(8, 4, 23))
        >>> losses._fields
        ('overlap', 'semantic', 'diversity', 'load_balance', 'entropy')
    """

    def __init__(
        self,
        in_features: int,
        num_experts: int,
        *,
        hidden: int = 64,
        mapping: str = "sparsemax",
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if mapping not in ("softmax", "sparsemax"):
            raise ValueError(f"mapping must be 'softmax' or 'sparsemax', got {mapping!r}")
        self.mapping = mapping
        self.temperature = temperature
        self.scores = nn.Sequential(
            nn.Linear(in_features, hidden), nn.ReLU(), nn.Linear(hidden, num_experts)
        )

    def forward(
        self, state: Tensor, expert_logits: Tensor, action_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Weigh the experts by the state and mix their logits.

        Args:
            state: [B, in_features], dtype of the router's parameters.
            expert_logits: [B, K, A], dtype of ``state``.
            action_mask: bool [B, A], True = allowed.

        Returns:
            ``alpha`` [B, K], the weights of the experts, and ``logits`` [B, A], in which masked
            actions have the lowest finite value of the dtype.

        Raises:
            ValueError or RuntimeError: an argument's shape, dtype or device does not fit.
        """
        return route(
            self.scores(state),
            expert_logits,
            mapping=self.mapping,
            temperature=self.temperature,
            action_mask=action_mask,
        )

    def losses(self, alpha: Tensor, expert_logits: Tensor) -> RoutingLosses:
        """Losses that keep the experts different and all of them in use.

        Arguments, return value and errors are those of :func:`tedg_fast.ops.routing_losses`.
        """
        return routing_losses(alpha, expert_logits)

    def extra_repr(self) -> str:
        return f"mapping={self.mapping!r}, temperature={self.temperature}"
