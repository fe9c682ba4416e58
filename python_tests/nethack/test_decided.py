"""Which rule decided each step, counted by the workers, beside a plain count of the same games."""

from collections import Counter

import numpy as np
import pytest
from vector_games import allowed_actions, assert_same, make_env

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.grounder import BY_NO_RULE
from tedg_fast.nethack.facts.observation import CONTESTED, NO_RULE, instances_of

RULES = [operator.name for operator in load_hypergraph().operators]


def strongest(instances, action):
    """The name of the first rule that proposes an action."""
    for number, _, actions in instances.tolist():
        if number == NO_RULE:
            break
        if action in actions:
            return RULES[number]
    return BY_NO_RULE


def played(env, steps, choose):
    """Play on, counting anew what each step of each episode was decided by -> the episodes that
    ended, and the counts by their numbers."""
    counts, ended = {number: Counter() for number in env.episode.tolist()}, []
    for _ in range(steps):
        actions = choose(env)
        rows = zip(env.episode.tolist(), instances_of(env.observation), actions.tolist())
        for place, (number, instances, action) in enumerate(rows):
            alone = action == env.observation.rule_action[place]
            key = strongest(instances, action), 0 if alone else 1
            counts.setdefault(number, Counter())[key] += 1
        ended += env.step(actions).episodes
    return ended, counts


def by_the_rules_or_at_random(rng):
    """Mostly as the rules have it, so that all ways occur."""

    def choose(env):
        by_rules = env.observation.rule_action
        chosen = allowed_actions(env, rng)
        follow = (by_rules != CONTESTED) & (rng.random(len(chosen)) < 0.9)
        return np.where(follow, by_rules, chosen)

    return choose


@pytest.mark.parametrize(
    ("character", "ending"), [("mon-hum-neu-mal", "truncated"), ("tou-hum-neu-mal", "death")]
)
def test_every_step_is_counted_once_and_for_the_strongest_rule(character, ending):
    settings = dict(decide="contested", every_step=True, max_steps=500, character=character)
    with make_env(**settings) as env:
        env.start()
        ended, counts = played(env, 1000, by_the_rules_or_at_random(np.random.default_rng(1)))
    assert ending in {episode.ending for episode in ended}
    seen = Counter()
    for episode in ended:
        expected = counts[episode.number]
        assert (
            Counter(
                {
                    (rule, who): count
                    for rule, pair in episode.decided.items()
                    for who, count in enumerate(pair)
                    if count
                }
            )
            == expected
        )
        assert sum(map(sum, episode.decided.values())) == episode.length
        assert all(map(any, episode.decided.values()))
        seen += expected
    asked = {rule for rule, who in seen if who == 1}
    assert len({rule for rule, who in seen if who == 0}) > 5 and len(asked) > 5
    assert BY_NO_RULE in asked


def test_what_the_rules_carry_out_in_the_worker_is_counted_as_if_each_step_were_shown():
    def played_on(env, asked_only):
        ended = []
        with env:
            env.start()
            while len(ended) < 8:
                first = env.observation.action_mask.argmax(1)  # a decision that needs no chance
                by_rules = env.observation.rule_action
                actions = first if asked_only else np.where(by_rules == CONTESTED, first, by_rules)
                ended += env.step(actions).episodes
        return sorted(ended, key=lambda episode: episode.number)[:5]

    settings = dict(decide="contested", max_steps=300)
    alone = played_on(make_env(**settings), True)
    shown = played_on(make_env(**settings, every_step=True), False)
    assert_same([e.decided for e in alone], [e.decided for e in shown])
    assert sum(pair[0] for e in alone for pair in e.decided.values()) > 200


def test_a_game_that_is_replayed_has_its_counts_again():
    """The first episode of every environment, half played before."""

    def ended_of(env, numbers):
        ended = {}
        while not ended.keys() >= numbers:
            actions = env.observation.action_mask.argmax(1)
            ended |= {episode.number: episode for episode in env.step(actions).episodes}
        return [ended[number] for number in sorted(numbers)]

    settings, rng = dict(decide="contested", max_steps=120), np.random.default_rng(4)
    with make_env(**settings) as whole:
        whole.start()
        for _ in range(10):
            whole.step(allowed_actions(whole, rng))
        games = whole.games()
        assert min(len(game.actions) for game in games) > 10, "the rules carried on"
        numbers = {game.episode for game in games}
        expected = ended_of(whole, numbers)
    with make_env(**settings, num_workers=1) as resumed:
        assert resumed.restore(games) == []
        assert_same(ended_of(resumed, numbers), expected)
