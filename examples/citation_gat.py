"""A graph attention network on a citation graph, with PyTorch Geometric's layer and with ours.

    python examples/citation_gat.py                # both, one after the other
    python examples/citation_gat.py --layer tedg_fast --epochs 50

The graph is drawn at random in the size of Cora: papers of seven topics whose words and citations
tell the topic, badly each, well together. The network is that of Velickovic et al. 2018 with its
dropout of 0.6 on features and attention. All that differs between the two runs is the import. Each
runs in a process of its own, so that the peak memory is its own.
"""

import argparse
import importlib
import resource
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS = {"torch_geometric": "torch_geometric.nn", "tedg_fast": "tedg_fast.nn"}
TOPICS = 7


class Citations(NamedTuple):
    """Words [N, F], citations in both directions [2, E], topics [N], and who learns or is
    tested."""

    words: Tensor
    edge_index: Tensor
    topic: Tensor
    learns: Tensor
    tested: Tensor


def draw(papers: int, vocabulary: int) -> Citations:
    """A random citation graph: 20 papers of each topic are labelled, a third is tested."""
    generator = torch.Generator().manual_seed(0)
    topic = torch.randint(0, TOPICS, (papers,), generator=generator)
    # A word is twice as likely in the papers of the topic it belongs to.
    about = torch.randint(0, TOPICS, (vocabulary,), generator=generator)
    likely = 0.011 * torch.where(about == topic[:, None], 2.0, 1.0)
    words = torch.bernoulli(likely, generator=generator)
    # Two citations a paper; four of five stay within the topic.
    cites = torch.arange(papers).repeat(2)
    order = topic.argsort(stable=True)
    counts = torch.bincount(topic, minlength=TOPICS)
    within = (torch.rand(len(cites), generator=generator) * counts[topic[cites]]).long()
    within = order[(counts.cumsum(0) - counts)[topic[cites]] + within]
    anywhere = torch.randint(0, papers, (len(cites),), generator=generator)
    cited = torch.where(torch.rand(len(cites), generator=generator) < 0.8, within, anywhere)
    edge_index = torch.cat([torch.stack([cites, cited]), torch.stack([cited, cites])], 1)
    shuffled = torch.randperm(papers, generator=generator)
    tested, rest = shuffled[: papers // 3], shuffled[papers // 3 :]
    learns = torch.cat([rest[topic[rest] == t][:20] for t in range(TOPICS)])
    return Citations(words, edge_index, topic, learns, tested)


class GAT(nn.Module):
    """Two layers: eight heads of eight features, then one head that votes for a topic."""

    def __init__(self, conv: type[nn.Module], vocabulary: int) -> None:
        super().__init__()
        self.first = conv(vocabulary, 8, heads=8, dropout=0.6)
        self.second = conv(64, TOPICS, heads=1, concat=False, dropout=0.6)

    def forward(self, words: Tensor, edge_index: Tensor) -> Tensor:
        x = F.dropout(words, 0.6, self.training)
        x = F.dropout(F.elu(self.first(x, edge_index)), 0.6, self.training)
        return self.second(x, edge_index)


def train(conv: type[nn.Module], data: Citations, epochs: int, seed: int) -> tuple[float, float]:
    """Accuracy on the tested papers, and seconds an epoch."""
    torch.manual_seed(seed)
    model = GAT(conv, data.words.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
    times = []
    for _ in range(epochs):
        begun = time.perf_counter()
        optimizer.zero_grad()
        out = model(data.words, data.edge_index)
        F.cross_entropy(out[data.learns], data.topic[data.learns]).backward()
        optimizer.step()
        times.append(time.perf_counter() - begun)
    model.eval()
    with torch.no_grad():
        guess = model(data.words, data.edge_index)[data.tested].argmax(-1)
    return (guess == data.topic[data.tested]).float().mean().item(), statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layer", choices=LAYERS, help="one of the two; without it both run")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3, help="networks to train")
    parser.add_argument("--papers", type=int, default=2708)
    parser.add_argument("--vocabulary", type=int, default=1433)
    args = parser.parse_args()
    if args.layer is None:
        print(f"{'layer':<16} {'accuracy':>8} {'ms an epoch':>12} {'MiB beyond the data':>20}")
        for layer in LAYERS:
            command = [sys.executable, __file__, "--layer", layer, *sys.argv[1:]]
            subprocess.run(command, check=True)
        return
    conv = importlib.import_module(LAYERS[args.layer]).GATConv
    data = draw(args.papers, args.vocabulary)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runs = [train(conv, data, args.epochs, seed) for seed in range(args.seeds)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    accuracy = statistics.mean(run[0] for run in runs)
    seconds = statistics.median(run[1] for run in runs)
    print(
        f"{args.layer:<16} {accuracy:>8.3f} {1e3 * seconds:>12.2f} {memory / 1024:>20.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
