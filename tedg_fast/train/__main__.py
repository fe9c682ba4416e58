"""``python -m tedg_fast.train``: ``tedg-train``, as torchrun starts it."""

from tedg_fast.cli import train

train()
