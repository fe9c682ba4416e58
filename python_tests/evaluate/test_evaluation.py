"""``tedg-eval`` as a user calls it, on real games and checkpoints."""

import json
import os
from importlib import resources

import numpy as np
import pytest
import torch
from command import SHORT, refused, run, tedg_train
from vector_games import make_env

from tedg_fast import cli
from tedg_fast.evaluate.agents import find_agent
from tedg_fast.evaluate.contexts import ALL, CONTEXTS
from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.games.episode import Episode
from tedg_fast.policy import Player
from tedg_fast.runs import checkpoint

FEW = ["--episodes", 5, "--max-steps", 30, "--num-envs", 3, "--seed", 4]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few episodes → its folder."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        tedg_train(patch, "--results", results, "--exp-name", "short", "--episodes", 6, *SHORT)
    return results / "short"


def test_all_kinds_of_agents_in_one_table(trained, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    final = trained / "checkpoints" / "model_final.pth"
    run(monkeypatch, cli.eval_, trained, final, "random", "rules", *FEW, "--out", out)
    shown = capsys.readouterr().out
    record = json.loads(out.read_text())
    agents = record["agents"]
    assert list(agents) == [str(trained), str(final), "random", "rules"]
    for name, entry in agents.items():
        assert f"| {name} | " in shown
        assert entry["episodes"]["number"] == list(range(5))
        assert set(entry["episodes"]) == set(Episode.__dataclass_fields__)
        mean = np.mean(entry["episodes"]["true_score"])
        assert entry["summary"]["true_score"]["mean"] == pytest.approx(mean)
    assert record["complete"] and len(record["comparisons"]) == 6
    assert f"{trained} − random | 5 |" in shown
    # The newest checkpoint of the folder is the final one: it draws the same.
    one, other = agents[str(trained)], agents[str(final)]
    assert one["episodes"] == other["episodes"] and one["experts"] == other["experts"]
    assert one["origin"]["completed"] >= 6
    experts = one["experts"]
    assert 5 <= experts["decisions"] < sum(one["episodes"]["length"]), "the rules carried on"
    assert sum(experts["usage"].values()) == pytest.approx(1)
    assert sum(experts["leading"].values()) == pytest.approx(1)
    assert list(experts["contexts"]) == [*CONTEXTS, ALL]
    assert agents["random"]["experts"] is None


def test_a_checkpoint_plays_by_its_policy(trained):
    """Probabilities are those of the policy that ``tedg-train`` saved; greedy takes the mode."""
    agent = find_agent(str(trained), None, greedy=False)
    state = checkpoint.load(trained / "checkpoints" / "model_final.pth")["policy"]
    for name, tensor in agent.policy.state_dict().items():
        assert torch.equal(tensor, state[name])
    with make_env(num_envs=8, num_workers=2) as env:
        env.start()
        observation = env.observation
        with torch.inference_mode():
            logits = Player(agent.policy, agent.routing)(observation).logits.double().numpy()
        greedy = find_agent(str(trained), None, greedy=True)
        count = 2000
        draws = (np.arange(count) + 0.5) / count
        actions = [agent(observation, np.full(8, draw)).actions for draw in draws]
        assert (np.diff(actions, axis=0) >= 0).all()  # by their place in the distribution
        modes = greedy(observation, np.zeros(8))
        for row in range(8):
            weight = np.exp(logits[row] - logits[row].max())
            shares = np.bincount(np.array(actions)[:, row], minlength=NUM_ACTIONS) / count
            assert shares == pytest.approx(weight / weight.sum(), abs=2 / count)
            assert not shares[~observation.action_mask[row]].any()
            assert modes.actions[row] == logits[row].argmax()
        assert modes.alpha.shape == (8, 4)


def test_bad_input_is_answered_in_one_line(trained, tmp_path, monkeypatch, capsys):
    def line(*arguments):
        return refused(monkeypatch, capsys, *arguments, entry=cli.eval_)

    assert "no agent given" in line()
    assert "no checkpoint at nothing" in line("nothing")
    assert "twice" in line("random", "random")
    assert "--episodes is 0" in line("random", "--episodes", 0)
    assert "--max-steps is 0" in line("random", "--max-steps", 0)
    assert "--seed is -1" in line("random", "--seed", -1)
    assert "--character is 'x'" in line("random", "--character", "x")
    assert "cannot be written" in line("random", "--out", tmp_path / "none" / "x.json")
    assert "cannot be written" in line("random", "--out", tmp_path)
    assert "cannot read" in line("random", "--hypergraph", tmp_path / "none.toml")
    cut = tmp_path / "cut.pth"
    cut.write_bytes((trained / "checkpoints" / "model_final.pth").read_bytes()[:-1])
    assert "cut short" in line(cut)
    assert os.listdir(tmp_path) == ["cut.pth"]


def test_rules_other_than_those_trained_with_are_refused(trained, tmp_path, monkeypatch, capsys):
    data = resources.files("tedg_fast.hypergraph") / "data" / "nethack.toml"
    changed = tmp_path / "rules.toml"
    changed.write_text(data.read_text().rsplit("[[rule]]", 1)[0])
    error = refused(monkeypatch, capsys, trained, "--hypergraph", changed, entry=cli.eval_)
    assert "was trained with the rules" in error
