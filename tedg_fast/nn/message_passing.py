"""The base class of the graph layers: PyTorch Geometric's where that is installed.

PyTorch Geometric's explainers, ``to_hetero`` and other tools find layers by the type
``MessagePassing`` and set masks and hooks on them. Where it is not installed, the layers need only
a module with the attributes ``aggr``, ``flow`` and ``node_dim``.
"""

from importlib.util import find_spec

from torch import nn

if find_spec("torch_geometric") is not None:
    from torch_geometric.nn.conv import MessagePassing
else:

    class MessagePassing(nn.Module):  # type: ignore[no-redef]
        """A module with a flow; the name and arguments are PyTorch Geometric's."""

        explain = None

        def __init__(
            self, aggr: str = "add", *, flow: str = "source_to_target", node_dim: int = 0
        ) -> None:
            super().__init__()
            if flow not in ("source_to_target", "target_to_source"):
                raise ValueError(
                    f"flow must be 'source_to_target' or 'target_to_source', got {flow!r}"
                )
            if aggr not in ("add", "sum"):
                raise ValueError(
                    f"aggr must be 'add' here, got {aggr!r}: others need torch-geometric installed"
                )
            self.aggr = aggr
            self.flow = flow
            self.node_dim = node_dim

        def reset_parameters(self) -> None:
            pass


_METHODS = ("message", "edge_update", "aggregate", "update")
_HOOKS = tuple(
    f"_{name}_forward_{kind}"
    for name in ("propagate", "message", "aggregate", "message_and_aggregate", "edge_update")
    for kind in ("pre_hooks", "hooks")
)


def wants_messages(layer: MessagePassing) -> bool:
    """Whether the single messages of ``layer`` are needed.

    PyTorch Geometric's explainers and message hooks, aggregations other than a sum, and subclasses
    with a message function of their own need them. The fused kernels make no single messages, so
    such a layer must compute them by PyTorch Geometric's code.
    """
    if layer.explain is True or layer.aggr not in ("add", "sum"):
        return True
    if any(getattr(layer, hooks, None) for hooks in _HOOKS):
        return True
    if any(name in layer.__dict__ for name in _METHODS):
        return True
    # Of the class: torch.compile of torch 2.10 cannot read the module of a bound method.
    cls = type(layer)
    return any(
        hasattr(cls, name)
        and getattr(cls, name).__module__.split(".")[0] not in ("tedg_fast", "torch_geometric")
        for name in _METHODS
    )
