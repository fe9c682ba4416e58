"""Expert switching, counted by hand."""

import numpy as np
import torch

from tedg_fast.train.switching import expert_switches


def test_changes_of_the_leader_within_episodes():
    leader = torch.tensor([[0, 1], [0, 2], [1, 2], [1, 0]])
    alpha = torch.nn.functional.one_hot(leader, 3).float()
    done = np.zeros((4, 2), bool)
    assert expert_switches(alpha, done) == (3, 6)
    done[0, 1] = True  # the change of game 1 after step 0 is one of episodes
    assert expert_switches(alpha, done) == (2, 5)


def test_no_pair_no_switching():
    assert expert_switches(torch.rand(1, 3, 4), np.zeros((1, 3), bool)) == (0, 0)
    assert expert_switches(torch.rand(2, 3, 4), np.ones((2, 3), bool)) == (0, 0)
