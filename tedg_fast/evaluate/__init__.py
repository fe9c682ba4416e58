"""How well agents play: seeded games, statistics, comparisons, ablations."""
