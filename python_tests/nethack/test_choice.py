"""Playing by the rules alone: the highest priority of what applies, equals by chance."""

from collections import Counter

import numpy as np
import pytest
from rule_instances import instances
from small_rules import rule, small

from tedg_fast.hypergraph import ACTIONS
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import ObservationSpec

WAIT, UP, DOWN, KICK, EAT, SEARCH = (
    ACTIONS.index(name) for name in ("wait", "up", "down", "kick", "eat", "search")
)
PRIORITIES = (3.0, 3.0, 1.0, None, -2.0)  # of rules 0 to 4; none is 0


@pytest.fixture(scope="module")
def grounder(tmp_path_factory):
    rules = [rule(f"r{i}", "wait", ["me.max_hp > 0"], priority=p) for i, p in enumerate(PRIORITIES)]
    return Grounder(small(tmp_path_factory.mktemp("rules"), *rules), 0)


def choose(grounder, states, draws, allowed=range(len(ACTIONS))):
    """(action, place of its instance) for each state's (rule, actions)."""
    observation = ObservationSpec(5).empty(len(states))
    observation.instances[:] = instances(states)
    observation.action_mask[:, list(allowed)] = True
    actions, winners = grounder.choose(observation, np.array(draws, np.float64))
    assert actions.dtype == winners.dtype == np.int64
    return list(zip(actions.tolist(), winners.tolist()))


def test_the_highest_priority_decides(grounder):
    states = [
        [(1, [UP]), (2, [DOWN]), (3, [KICK])],
        [(2, [DOWN]), (3, [KICK]), (4, [EAT])],
        [(3, [KICK]), (4, [EAT])],
        [(4, [EAT])],
    ]
    expected = [(UP, 0), (DOWN, 0), (KICK, 0), (EAT, 0)]
    for draw in (0.0, 0.5, np.nextafter(1, 0)):
        assert choose(grounder, states, [draw] * 4) == expected


def test_what_is_not_allowed_is_passed_over(grounder):
    state = [(0, [UP, DOWN]), (1, [UP]), (2, [KICK, UP]), (4, [EAT])]
    but = set(range(len(ACTIONS)))
    assert choose(grounder, [state], [0.9], but - {UP}) == [(DOWN, 0)]
    assert choose(grounder, [state], [0.1], but - {UP, DOWN}) == [(KICK, 2)]
    assert choose(grounder, [state], [0.1], but - {UP, DOWN, KICK}) == [(EAT, 3)]


def test_equals_share_the_draw_action_by_action(grounder):
    """Two instances of one rule and one of another of its priority: four actions in all."""
    state = [(0, [UP, WAIT]), (0, [DOWN]), (1, [UP]), (2, [KICK])]
    steps = 4000
    draws = (np.arange(steps) + 0.5) / steps
    found = Counter(choose(grounder, [state] * steps, draws))
    assert found == {(UP, 0): 1000, (WAIT, 0): 1000, (DOWN, 1): 1000, (UP, 2): 1000}
    found = Counter(choose(grounder, [state] * steps, draws, {DOWN, WAIT, KICK}))
    assert found == {(WAIT, 0): 2000, (DOWN, 1): 2000}


def test_where_nothing_is_proposed_all_that_is_allowed_is_equal(grounder):
    allowed = [WAIT, KICK, SEARCH]
    for state in ([], [(0, [UP])]):
        draws = [0, 0.33, 0.34, 0.66, 0.67, np.nextafter(1, 0)]
        found = choose(grounder, [state] * 6, draws, allowed)
        assert found == [(a, -1) for a in (WAIT, WAIT, KICK, KICK, SEARCH, SEARCH)]


def test_odd_draws_and_bytes_choose_something_allowed(grounder):
    rng = np.random.default_rng(0)
    observation = ObservationSpec(5).empty(500)
    observation.instances[:] = rng.integers(0, 256, observation.instances.shape)
    observation.instances[::2, :, :2] = rng.integers(0, 5, (250, 64, 2)) * [1, 0]
    observation.action_mask[:] = rng.random(observation.action_mask.shape) < 0.3
    observation.action_mask[:, 0] |= ~observation.action_mask.any(1)
    for draw in (-1.0, 1.0, 1e300, 0.5, -np.inf):
        actions, _ = grounder.choose(observation, np.full(500, draw))
        assert observation.action_mask[np.arange(500), actions].all()


def test_a_mask_that_allows_nothing_is_refused(grounder):
    with pytest.raises(ValueError, match="a row of action_mask allows nothing"):
        choose(grounder, [[]], [0.5], [])
