"""What PyTorch Geometric builds around its layers works with ours, and gives the same numbers."""

import pytest
import torch
from nn.layer_cases import LAYERS, close, edges, pair

from tedg_fast import nn as ours

geometric = pytest.importorskip("torch_geometric")
from torch_geometric import nn as theirs  # noqa: E402
from torch_geometric.explain import (  # noqa: E402
    AttentionExplainer,
    Explainer,
    GNNExplainer,
    ModelConfig,
)

both = pytest.mark.parametrize("layer", LAYERS)
INDEX = edges(9, 9, 30, loops=False)
X = torch.randn(9, 12, generator=torch.Generator().manual_seed(0))


class TwoLayers(torch.nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.first = conv(12, 4, 2)
        self.second = conv(8, 3)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index).log_softmax(-1)


def two_networks(layer):
    networks = [TwoLayers(getattr(module, layer)).eval() for module in (ours, theirs)]
    networks[0].load_state_dict(networks[1].state_dict())
    return networks


@both
def test_hetero_conv(layer):
    torch.manual_seed(0)
    x = {"paper": torch.randn(9, 12), "author": torch.randn(4, 6)}
    index = {
        ("paper", "cites", "paper"): INDEX,
        ("author", "writes", "paper"): edges(4, 9, 20),
        ("paper", "written_by", "author"): edges(9, 4, 20),
    }
    attr = {("author", "writes", "paper"): torch.randn(25, 3)}
    outputs = []
    for module in (ours, theirs):
        conv = getattr(module, layer)
        torch.manual_seed(1)
        hetero = theirs.HeteroConv(
            {
                ("paper", "cites", "paper"): conv(-1, 5, 2),
                ("author", "writes", "paper"): conv((-1, -1), 5, 2, edge_dim=3,
                                                    add_self_loops=False),
                ("paper", "written_by", "author"): conv((-1, -1), 5, 2, add_self_loops=False),
            }
        )  # fmt: skip
        outputs.append(hetero(x, index, edge_attr_dict=attr))
    for name in ("paper", "author"):
        close(outputs[0][name], outputs[1][name], name)
    with pytest.raises(ValueError, match="add_self_loops"):
        theirs.HeteroConv({("a", "to", "b"): getattr(ours, layer)((-1, -1), 5)})


@pytest.mark.parametrize("v2", [False, True])
@pytest.mark.parametrize("jk", [None, "cat"])
def test_basic_gnn(v2, jk):
    conv = ours.GATv2Conv if v2 else ours.GATConv

    class GAT(theirs.GAT):
        def init_conv(self, in_channels, out_channels, **kwargs):
            kwargs.pop("v2", None)
            return conv(in_channels, out_channels // 2, 2, dropout=self.dropout.p, **kwargs)

    options = dict(dropout=0.5, norm="batch_norm", jk=jk, edge_dim=3)
    reference = theirs.GAT(12, 8, 3, 4, v2=v2, heads=2, **options).eval()
    network = GAT(12, 8, 3, 4, **options).eval()
    assert network.supports_edge_attr
    attr = torch.randn(INDEX.shape[1], 3)
    if jk is None:  # PyTorch Geometric averages the heads of the last layer
        network.convs[-1] = conv(8, 4, 2, concat=False, edge_dim=3).eval()
    network.load_state_dict(reference.state_dict())
    close(network(X, INDEX, edge_attr=attr), reference(X, INDEX, edge_attr=attr))


@both
@pytest.mark.parametrize("algorithm", [AttentionExplainer, lambda: GNNExplainer(epochs=5)])
def test_explainers(layer, algorithm):
    explanations = []
    for network in two_networks(layer):
        torch.manual_seed(2)
        made = algorithm()
        explainer = Explainer(
            network,
            made,
            explanation_type="model",
            node_mask_type=None if isinstance(made, AttentionExplainer) else "attributes",
            edge_mask_type="object",
            model_config=ModelConfig("multiclass_classification", "node", "log_probs"),
        )
        explanations.append(explainer(X, INDEX, index=3))
    mine, wanted = explanations
    assert wanted.edge_mask.any()
    close(mine.edge_mask, wanted.edge_mask)
    if "node_mask" in wanted:
        close(mine.node_mask, wanted.node_mask)


@both
@pytest.mark.parametrize("kind", ["propagate", "message", "aggregate", "edge_update"])
def test_message_hooks(layer, kind):
    """A hook sees what it sees in theirs, and what it returns counts."""
    outputs, seen = [], []
    for module in pair(layer, 12, 5, 2):
        before = module(X, INDEX)

        def hook(module, inputs, out):
            seen.append(out)
            return 2 * out

        handle = getattr(module, f"register_{kind}_forward_hook")(hook)
        outputs.append(module(X, INDEX))
        handle.remove()
        close(module(X, INDEX), before)
        assert not torch.allclose(outputs[-1], before)
    close(*outputs)
    close(*seen)


@both
@pytest.mark.parametrize("aggr", ["mean", "max"])
def test_other_aggregations(layer, aggr):
    mine, reference = pair(layer, 12, 5, 2, aggr=aggr)
    close(mine(X, INDEX), reference(X, INDEX))


@both
def test_subclasses_with_messages_of_their_own(layer):
    def louder_than(conv):
        def message(self, x_j, alpha):
            return 3 * conv.message(self, x_j, alpha)

        # PyTorch Geometric keeps what it compiles for a class by the class's name.
        package = conv.__module__.split(".")[0]
        return type(f"Louder{layer}Of{package}", (conv,), {"message": message})

    outputs = []
    for module in (ours, theirs):
        torch.manual_seed(0)
        outputs.append(louder_than(getattr(module, layer))(12, 5, 2)(X, INDEX))
    close(*outputs)


@both
def test_watched_layers_refuse_what_cannot_be_watched(layer):
    mine, _ = pair(layer, 12, 5, 2, aggr="mean")
    with pytest.raises(ValueError, match="x must have shape .* got a batch"):
        mine(X.expand(2, 9, 12), INDEX)
    mine, _ = pair(layer, (12, 6), 5, 2, aggr="mean", flow="target_to_source")
    with pytest.raises(ValueError, match="flow must be 'source_to_target' where hooks"):
        mine((X, torch.randn(9, 6)), INDEX)


@both
def test_to_hetero(layer):
    metadata = (["a", "b"], [("a", "to", "b"), ("b", "to", "a")])
    x = {"a": torch.randn(9, 12), "b": torch.randn(4, 12)}
    index = {("a", "to", "b"): edges(9, 4, 20), ("b", "to", "a"): edges(4, 9, 20)}
    outputs = []
    for module in (ours, theirs):

        class Network(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = getattr(module, layer)((-1, -1), 5, 2, add_self_loops=False)

            def forward(self, x, edge_index):
                return self.conv(x, edge_index).relu()

        torch.manual_seed(0)
        network = theirs.to_hetero(Network(), metadata)
        outputs.append(network(x, index))
    assert set(outputs[0]) == {"a", "b"}
    for name in outputs[0]:
        close(outputs[0][name], outputs[1][name])


@both
def test_receptive_fields(layer):
    """Explainers and subgraph tools count the layers by type."""
    from torch_geometric.utils import get_num_hops

    network, _ = two_networks(layer)
    assert get_num_hops(network) == 2
