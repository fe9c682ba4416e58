"""Playing the same games with every agent, on real NLE."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from vector_games import undivided

from tedg_fast.evaluate.agents import choose, find_agent
from tedg_fast.evaluate.play import Games, play
from tedg_fast.nethack.actions import PRAY
from tedg_fast.nethack.facts.observation import NO_RULE, instances_of

GAMES = Games(episodes=6, seed=4, max_steps=40, character="mon-hum-neu-mal")


def test_draws_choose_by_their_place_in_the_distribution():
    probabilities = np.array([[0.0, 0.25, 0.0, 0.75, 0.0]] * 4)
    draws = np.array([0.0, 0.2499, 0.25, np.nextafter(1, 0)])
    assert choose(probabilities, draws).tolist() == [1, 1, 3, 3]
    assert choose(4 * probabilities, draws).tolist() == [1, 1, 3, 3]


def test_chosen_actions_have_the_frequencies_of_the_distribution():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(23))
    chosen = choose(np.tile(probabilities, (100_000, 1)), rng.random(100_000))
    assert np.bincount(chosen, minlength=23) / 1e5 == pytest.approx(probabilities, abs=6e-3)


def test_games_do_not_depend_on_how_many_are_played_at_once():
    """Nor is a long one missing because others have ended first."""
    agent = find_agent("random", None, greedy=False)
    games = replace(GAMES, max_steps=150)
    all_at_once = play(agent, games, num_envs=6, num_workers=1)
    ended = []
    in_turn = play(agent, games, num_envs=2, num_workers=2, on_episode=lambda: ended.append(1))
    assert all_at_once.episodes == in_turn.episodes
    assert sorted(in_turn.episodes) == list(range(6)) and len(ended) == 6
    assert len({episode.length for episode in in_turn.episodes.values()}) > 1
    assert not in_turn.lost and in_turn.trace is None


def test_random_ignores_the_mask_and_random_allowed_keeps_to_it():
    for name, free in (("random", True), ("random-allowed", False)):
        agent = find_agent(name, None, greedy=False)
        masks, chosen, drawn = [], [], []

        class Watched(type(agent)):
            def __call__(self, observation, draws):
                choice = super().__call__(observation, draws)
                masks.append(observation.action_mask.copy())
                chosen.append(choice.actions)
                drawn.append(draws.copy())
                return choice

        agent = Watched(agent.name, agent.rules, agent.use_mask, agent.origin)
        play(agent, GAMES, num_envs=6, num_workers=2)
        mask, actions, draws = map(np.concatenate, (masks, chosen, drawn))
        assert mask[:, :PRAY].all() == free and not mask[:, PRAY].any()
        assert mask[np.arange(len(actions)), actions].all()
        place = (draws * mask.sum(1)).astype(int)  # of the action among those allowed
        assert np.array_equal(mask.cumsum(1)[np.arange(len(actions)), actions] - 1, place)
        assert len(np.unique(actions)) > 15


def test_the_rules_play_their_highest_priorities():
    agent = find_agent("rules", None, greedy=False)
    followed = []

    class Watched(type(agent)):
        def __call__(self, observation, draws):
            choice = super().__call__(observation, draws)
            for row, action in enumerate(choice.actions):
                allowed = np.flatnonzero(observation.action_mask[row])
                assert action in allowed
                listed = instances_of(observation)[row]
                priorities = [
                    agent.rules.operator_priority[i["rule"]]
                    for i in listed if i["rule"] != NO_RULE and np.isin(i["actions"], allowed).any()
                ]  # fmt: skip
                said = [
                    agent.rules.operator_priority[i["rule"]]
                    for i in listed if i["rule"] != NO_RULE and action in i["actions"]
                ]  # fmt: skip
                assert not priorities or max(said) == max(priorities)
                followed.append(bool(priorities))
            return choice

    agent = Watched(agent.name, agent.rules, agent.use_mask, agent.origin)
    played = play(agent, GAMES, num_envs=3, num_workers=1)
    again = play(find_agent("rules", None, greedy=False), GAMES, num_envs=6, num_workers=2)
    games = [
        {number: undivided(episode) for number, episode in every.episodes.items()}
        for every in (played, again)
    ]
    assert games[0] == games[1] and len(games[0]) == 6
    assert np.mean(followed) > 0.9 and played.trace is None


def test_the_rules_play_alike_wherever_they_are_asked():
    """Draws belong to steps, not to decisions; where the rules agree nothing is left to choose."""
    agent = find_agent("rules", None, greedy=False)
    games, asked = replace(GAMES, max_steps=300), []

    class Counted(type(agent)):
        def __call__(self, observation, draws):
            asked[-1] += len(draws)
            return super().__call__(observation, draws)

    played = []
    for decide in ("contested", "always"):
        asked.append(0)
        counted = Counted(
            agent.name, agent.rules, True, {}, asked=agent.asked._replace(decide=decide)
        )
        episodes = play(counted, games, num_envs=6, num_workers=2).episodes
        played.append({number: undivided(episode) for number, episode in episodes.items()})
    assert played[0] == played[1] and len(played[0]) == 6
    assert 0 < asked[0] < asked[1] / 2


def test_games_of_a_killed_worker_are_reported_and_missing(monkeypatch):
    agent = find_agent("random", None, greedy=False)
    calls = []

    class Murderous(type(agent)):
        """Kills one of the workers after a few steps."""

        def __call__(self, observation, draws):
            calls.append(1)
            if len(calls) == 10:
                children = os.popen(f"pgrep -P {os.getpid()}").read().split()
                workers = [
                    int(pid) for pid in children
                    if b"worker" in open(f"/proc/{pid}/cmdline", "rb").read()
                ]  # fmt: skip
                os.kill(max(workers), signal.SIGKILL)
            return super().__call__(observation, draws)

    agent = Murderous(agent.name, agent.rules, agent.use_mask, agent.origin)
    played = play(agent, GAMES, num_envs=4, num_workers=2)
    missing = sorted(set(range(6)) - set(played.episodes))
    assert len(missing) == 2
    assert all(str(number) in "\n".join(played.lost) for number in missing)
