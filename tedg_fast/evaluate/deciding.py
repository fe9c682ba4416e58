"""How often each rule of an agent's file decided, agents side by side."""

from collections.abc import Iterable, Mapping, Sequence

from tedg_fast.evaluate import table
from tedg_fast.evaluate.agents import Agent, Chance
from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.facts.grounder import BY_NO_RULE
from tedg_fast.nethack.games.episode import Episode
from tedg_fast.report.rules import sum_decided

MOST_ROWS = 15
"""Rules that the table names: a screen's worth."""

Decided = Mapping[str, Sequence[int]]
"""By rule, as ``Episode.decided``, of all games of an agent."""


def decided_by(agent: Agent, episodes: Iterable[Episode]) -> Decided | None:
    """``Episode.decided`` summed over ``episodes``, with all rules of the agent's file in their
    order; None for chance and for V3's rules, by which nobody plays."""
    if isinstance(agent, Chance) or not isinstance(agent.rules, Hypergraph):
        return None
    alone, asked = sum_decided(episode.decided for episode in episodes)
    names = [*(operator.name for operator in agent.rules.operators), BY_NO_RULE]
    return {name: (alone[name], asked[name]) for name in names}


def show_decided(agents: Mapping[str, Decided]) -> None:
    """Print the rules' shares of the steps of each agent, of at least one step.

    First come rules that some files lack, then those whose shares differ most, then those that
    decide most; rules of all files that never decided are only counted.
    """
    shares = {name: _shares(decided) for name, decided in agents.items()}
    names = dict.fromkeys(rule for decided in agents.values() for rule in decided)
    rules = {rule: [share.get(rule) for share in shares.values()] for rule in names}

    def order(rule: str) -> tuple[bool, float, float, str]:
        values = [share or 0.0 for share in rules[rule]]
        return None not in rules[rule], min(values) - max(values), -max(values), rule

    told = sorted((rule for rule, of in rules.items() if None in of or any(of)), key=order)
    lacked = {rule for rule, of in rules.items() if None in of}
    table.show(
        "Share of the steps that each rule decided" + (" (–: not in the file)" if lacked else ""),
        ("rule", *shares),
        [[rule, *map(_cell, rules[rule])] for rule in told[:MOST_ROWS]],
    )
    left_out = rules.keys() - {BY_NO_RULE} - set(told[:MOST_ROWS])
    if left_out:
        never = sum(not any(rules[rule]) for rule in left_out)
        some = f", {len(lacked & left_out)} are not in every file" if lacked & left_out else ""
        print(f"{len(left_out)} more rules: {never} never decided{some}; --out has them all\n")


def _shares(decided: Decided) -> dict[str, float]:
    steps = sum(map(sum, decided.values()))
    return {rule: sum(counts) / steps for rule, counts in decided.items()}


def _cell(share: float | None) -> str:
    if share is None:
        return "–"
    if share == 0:
        return "never"
    return f"{share:.1%}" if share >= 0.001 else "< 0.1%"
