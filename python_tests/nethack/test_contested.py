"""Where the rules leave a choice: the compiled test against its plain definition."""

from dataclasses import replace

import numpy as np
import pytest
from grounded_games import GroundedGames, play
from plain_decisions import rule_action
from small_rules import rule, small

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.grounder import Grounder

GAMES = 6


def watched(grounders, steps, check):
    """Real games, each observation grounded by all of `grounders` and shown to `check`."""
    games = GroundedGames(GAMES, seed=11, max_steps=120)
    outs = [grounder.spec.empty(GAMES) for grounder in grounders]

    def watch(index, look):
        if index:  # all games at once, before the first is looked at
            return
        for grounder, out in zip(grounders, outs):
            for row in np.flatnonzero(games.new):
                grounder.reset(row)
            grounder(games.raw, games.last_action, out)
        check(games.new, outs)

    play(games, steps, np.random.default_rng(0), watch)
    games.close()


def test_contested_is_what_the_definition_says():
    rules = load_hypergraph()
    operators = [
        replace(op, decide=op.name in ("walk_to_frontier", "go_search")) for op in rules.operators
    ]
    asking = replace(rules, operators=tuple(operators))
    settings = [
        (rules, {"margin": 0.0}), (rules, {"margin": 0.5}), (rules, {"margin": 2.0}),
        (rules, {"margin": 100.0}), (rules, {"margin": 2.0, "use_mask": False}),
        (asking, {"margin": 1.0}), (asking, {"decide": "always"}),
    ]  # fmt: skip
    shares = np.zeros(len(settings))

    def check(new, outs):
        for place, ((graph, setting), out) in enumerate(zip(settings, outs)):
            expected = [rule_action(graph, row, setting.get("margin", 0)) for row in rows_of(out)]
            asks = new | (setting.get("decide") == "always")
            assert out.rule_action.tolist() == np.where(asks, -1, expected).tolist()
            assert out.action_mask[..., :-1].all() == (not setting.get("use_mask", True))
            shares[place] += (out.rule_action < 0).mean()

    watched([Grounder(graph, GAMES, **setting) for graph, setting in settings], 150, check)
    shares /= 150
    assert 0 < shares[0] < shares[1] < shares[2] < shares[3] < shares[6] == 1
    assert shares[5] > shares[1]


def test_where_nothing_is_proposed_a_decision_is_asked_for(tmp_path):
    rules = small(
        tmp_path,
        rule("r", "search", ["prompt.kind == 'none'", "me.hp < me.max_hp"]),
        rule("s", "more", ["prompt.kind == 'more'"]),
    )
    seen = set()

    def check(new, outs):
        for row in rows_of(outs[0]):
            proposed = row.instances.view(np.uint16)[0, 0] != 0xFFFF
            seen.add((proposed, int(row.rule_action)))

    watched([Grounder(rules, GAMES)], 150, check)
    assert {(False, -1), (True, 22)} <= seen
    assert (False, 22) not in seen


@pytest.mark.parametrize(
    "experts, action", [(("combat", "combat"), 22), (("combat", "general"), -1)]
)
def test_two_experts_that_say_the_same_are_a_contest(tmp_path, experts, action):
    rules = [rule(f"r{i}", "search", ["me.max_hp > 0"], expert=e) for i, e in enumerate(experts)]
    grounder = Grounder(small(tmp_path, *rules), GAMES)
    watched([grounder], 3, lambda new, outs: check_all(outs[0], np.where(new, -1, action)))


def check_all(out, expected):
    """Where no prompt keeps the rules from searching."""
    free = out.instances.view(np.uint16)[:, 0, 0] != 0xFFFF
    assert free.any()
    assert (out.rule_action[free] == expected[free]).all()


def rows_of(observation):
    return [observation[row] for row in range(GAMES)]
