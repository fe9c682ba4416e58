"""A trained agent, and the games, in a program of one's own."""

import gymnasium
import numpy as np
import pytest
from command import SHORT, tedg_train
from v3_files import small_hypergraph

import tedg_fast
from tedg_fast.evaluate.agents import Chance
from tedg_fast.loading import LoadedAgent
from tedg_fast.nethack.gym import NAME
from tedg_fast.runs.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        tedg_train(patch, "--results", results, "--exp-name", "run", "--episodes", 2, *SHORT)
    return results / "run"


def test_a_loaded_agent_plays_the_games_of_its_training(trained):
    agent = tedg_fast.load(trained)
    env = agent.environment(num_envs=3, num_workers=1)
    observation, _ = env.reset(seed=5)
    assert env.observation_space.contains(observation)
    ended, asked = [], []
    for _ in range(45):
        action, by_rules = agent.act(observation), observation["rule_action"]
        assert env.action_space.contains(action)
        carried_on = by_rules >= 0
        assert (action[carried_on] == by_rules[carried_on]).all()
        asked += (~carried_on).tolist()
        observation, reward, terminated, truncated, info = env.step(action)
        ended += info["episodes"]
        if truncated.any():
            assert info["_final_obs"].tolist() == truncated.tolist()
    env.close()
    assert 0 < np.mean(asked) < 0.5, "decide is contested, as in training"
    assert reward.shape == (3,) and len(ended) >= 3
    assert max(episode.length for episode in ended) <= 40, "the run's --max-steps"


def test_the_same_seed_is_the_same_game_also_of_a_random_role():
    env = gymnasium.make_vec(NAME, num_envs=2, num_workers=1, character="@", max_steps=50)
    first, _ = env.reset(seed=3)
    other, _ = env.reset(seed=4)
    again, _ = env.reset(seed=3)
    env.close()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_a_character_that_there_is_not_is_refused_and_no_step_comes_before_a_reset():
    with pytest.raises(ValueError, match="character is 'monk'; expected role-race-alignment-"):
        gymnasium.make_vec(NAME, num_envs=2, num_workers=1, character="monk")
    env = gymnasium.make_vec(NAME, num_envs=2, num_workers=1)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(np.zeros(2, np.int64))
    env.close()


def test_nothing_there():
    with pytest.raises(CheckpointError, match="no checkpoint at nowhere"):
        tedg_fast.load("nowhere")


def test_an_agent_of_v3s_hypergraph_has_no_such_games(tmp_path):
    rules = small_hypergraph(tmp_path / "v3")
    agent = LoadedAgent(Chance("old", rules, use_mask=True, origin={}))
    with pytest.raises(ValueError, match="^old plays by V3's hypergraph, .* with tedg-eval$"):
        agent.environment(1)
