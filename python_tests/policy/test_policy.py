"""The policy: what its parts must depend on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from probe import tiny_hypergraph
from rule_instances import NO_OBJECTS, instances

from tedg_fast.hypergraph import ACTIONS, load_hypergraph
from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.facts.observation import ObservationSpec
from tedg_fast.policy import Policy, PolicyConfig, Routing
from tedg_fast.policy.manager import PRIORITY_WEIGHT

SMALL = PolicyConfig(hidden_size=16, gat_heads=2, gat_head_size=8)
# Four states, in each of which one of the tiny hypergraph's conditions holds and its rule applies.
ONE_EACH = np.arange(4)


def make_policy(num_experts=4, hypergraph=None, config=SMALL):
    torch.manual_seed(0)
    return Policy(hypergraph or tiny_hypergraph(), num_experts, config)


def observed(rules, seed=0):
    """Random observations in which of the tiny hypergraph's rules these apply, -1 for none."""
    rng = np.random.default_rng(seed)
    observation = ObservationSpec(num_conditions=4).empty(len(rules))
    observation.features[:] = rng.normal(size=observation.features.shape)
    observation.crop[:] = rng.integers(0, 4, observation.crop.shape)
    observation.action_mask[:] = rng.random(observation.action_mask.shape) < 0.7
    observation.action_mask[:, 0] = True
    return showing(observation, rules)


def showing(observation, rules):
    """The same with these rules."""
    observation.active_bits[:] = np.packbits(np.arange(4) == rules[:, None], axis=1)
    listed = [[(k, [1 + k])] if k >= 0 else [] for k in rules.tolist()]
    observation.instances[:], observation.objects[:] = instances(listed), NO_OBJECTS
    return observation


def alike(rules):
    """As ``observed``, but nothing else differs between the states."""
    return showing(observed(np.full(1, -1))[np.zeros(len(rules), int)], rules)


def evaluated(policy, observation, routing=Routing("softmax", 1.0)):
    return policy(policy.inputs(observation), routing)


def apart(h_logic):
    return torch.cdist(h_logic, h_logic).fill_diagonal_(torch.inf).min()


def test_h_logic_differs_between_active_sets():
    """Fault (b): nodes without identity gave one and the same vector for every state."""
    assert apart(evaluated(make_policy(), alike(ONE_EACH)).reading.h_logic) > 0.05


def packaged(batch):
    """Empty observations of the packaged rules, and a policy for them."""
    hypergraph = load_hypergraph()
    observation = ObservationSpec(hypergraph.num_conditions).empty(batch)
    observation.instances[:], observation.objects[:] = instances([[]] * batch), NO_OBJECTS
    observation.action_mask[:] = True
    return make_policy(hypergraph=hypergraph, config=PolicyConfig()), observation


def test_h_logic_differs_in_the_packaged_hypergraph():
    """Fault (b) again, where it matters: any single condition changes the Manager's answer."""
    count = load_hypergraph().num_conditions
    policy, observation = packaged(count)
    observation.active_bits[:] = np.packbits(np.eye(count, dtype=bool), axis=1)
    assert apart(evaluated(policy, observation).reading.h_logic) > 1e-2


def test_h_logic_differs_with_the_rules_that_apply():
    """The same conditions may hold of other objects, so that another rule applies."""
    count = load_hypergraph().num_operators
    policy, observation = packaged(count)
    observation.instances[:] = instances([[(k, [1])] for k in range(count)])
    assert apart(evaluated(policy, observation).reading.h_logic) > 1e-2


def test_an_applicable_rule_speaks_for_its_expert():
    advice = evaluated(make_policy(), alike(ONE_EACH)).advice_scores
    assert advice.argmax(1).tolist() == [0, 1, 2, 3]


def test_instances_propose_by_their_priorities():
    """Before anything is learned: an instance gives each of its actions an equal share of
    e^priority, and what an expert says is that over its loudness."""
    hypergraph = load_hypergraph()
    policy, observation = packaged(1)
    with torch.no_grad():
        policy.manager.score.weight.zero_()
    wait, up, down = (ACTIONS.index(name) for name in ("wait", "up", "down"))
    survival, combat = (np.flatnonzero(hypergraph.operator_expert == k) for k in (0, 1))
    a, b, c = int(survival[0]), int(survival[1]), int(combat[0])
    with torch.no_grad():
        policy.manager.priority[[a, b, c]] = torch.tensor([-1.5, 2.5, -0.5])
    listed = [(b, [wait, up]), (c, [up]), (a, [wait]), (a, [down, wait])]
    observation.instances[:] = instances([listed])
    reading = evaluated(policy, observation).reading
    said, loudness = reading.proposals, reading.advice_scores
    w = np.exp([-1.5, -0.5, 2.5])  # of a, c, b
    mass = {wait: w[2] / 2 + w[0] + w[0] / 2, up: w[2] / 2, down: w[0] / 2}
    loud = np.log1p(w[2] + 2 * w[0])
    assert loudness[0].tolist() == pytest.approx([loud, np.log1p(w[1]), 0, 0])
    for action in range(len(ACTIONS)):
        expected = np.log1p(mass.get(action, 0)) / max(loud, 1)
        assert said[0, 0, action].item() == pytest.approx(expected)
    assert said[0, 1].nonzero().flatten().tolist() == [up]
    assert said[0, 1, up].item() == pytest.approx(np.log1p(w[1]))
    assert not said[0, 2:].any()


def test_priorities_begin_with_the_files_and_are_learned():
    hypergraph = load_hypergraph()
    priority = packaged(1)[0].manager.priority
    assert priority.requires_grad
    weighed = [PRIORITY_WEIGHT * (rule.priority or 0) for rule in hypergraph.operators]
    assert priority.tolist() == pytest.approx(weighed)
    with torch.no_grad():
        priority.zero_()
    assert hypergraph.operator_priority.any()  # they are no parameters


def test_experts_propose_what_their_rules_do():
    """A rule that applies raises its own expert's logits of its own actions, and no others."""
    policy = make_policy()
    observation = observed(ONE_EACH)
    with torch.no_grad():
        heard = evaluated(policy, observation)
    for k in range(4):
        raised = heard.reading.proposals[k] > 0.5
        assert raised.nonzero().tolist() == [[k, 1 + k]]
    mask = torch.from_numpy(observation.action_mask)
    own = torch.einsum("bk,bka->ba", heard.alpha, heard.expert_logits)
    added = torch.where(mask, heard.logits - own, 0)
    gain = policy.proposal_gain[0, 0].item()
    for k in range(4):
        share = heard.alpha[k, k] * gain * heard.reading.proposals[k, k, 1 + k]
        expected = mask[k, 1 + k].item() * share.item()
        assert added[k, 1 + k].item() == pytest.approx(expected, rel=1e-4)


def test_proposals_may_pass_the_router():
    """Then they count the same whatever the router says, and masked actions stay impossible."""
    policy = make_policy(config=replace(SMALL, proposals="direct"))
    observation = observed(ONE_EACH)
    mask = torch.from_numpy(observation.action_mask)
    mixed = []
    for bias in (0.0, 50.0):
        with torch.no_grad():
            policy.router[-1].bias[3] = bias
            output = evaluated(policy, observation)
        mixed.append(output)
        own = torch.einsum("bk,bka->ba", output.alpha, output.expert_logits)
        proposed = (policy.proposal_gain * output.reading.proposals).sum(1)
        torch.testing.assert_close(output.logits[mask], (own + proposed)[mask])
        assert (output.logits.softmax(1)[~mask] == 0).all()
        assert (proposed.argmax(1) == 1 + torch.arange(4)).all()
    assert mixed[1].alpha[:, 3].min() > 0.99 > mixed[0].alpha[:, 3].max()


def test_how_much_an_expert_matters_is_the_routers_decision():
    """A stronger rule is louder advice; what its expert proposes is the same."""
    policy, said = make_policy(), []
    for priority in (2.0, 5.0):
        with torch.no_grad():
            policy.manager.priority.fill_(priority)
            said.append(evaluated(policy, alike(np.zeros(1, int))).reading)
    weak, strong = said
    assert strong.advice_scores[0, 0] > weak.advice_scores[0, 0] + 2
    torch.testing.assert_close(strong.proposals[0, 0, 1], torch.ones(()), atol=1e-3, rtol=0)
    torch.testing.assert_close(strong.proposals, weak.proposals)


def test_effects_are_predicted_from_what_the_action_carries_out():
    """Pooled and compared as the description has it, and what an observation shows of them."""
    policy, observation = packaged(3)
    hypergraph, predictor = load_hypergraph(), policy.effects
    observation.instances[:] = instances([[(0, [1]), (5, [2, 1]), (7, [3])], [(2, [4])], []])
    inputs = policy.inputs(observation)
    with torch.no_grad():
        reading = policy(inputs, Routing("softmax", 1.0)).reading
        logits = predictor(reading, inputs, torch.tensor([1, 1, 1]))
        nodes = policy.manager.nodes.shared[hypergraph.num_conditions :]
        carried = [[0, 1], [], []]
        for row, places in zip(logits, carried):
            weight = [reading.learned[i].exp() for i in places]
            heard = [w * reading.instances[i] for w, i in zip(weight, places)]
            pooled = sum(heard, torch.zeros(32))
            query = predictor.query(pooled / (1 + sum(weight)))
            for effect, logit, bias in zip(predictor.visible, row, predictor.bias):
                expected = query @ nodes[effect] / 32**0.5 + bias
                torch.testing.assert_close(logit, expected)
    rng = np.random.default_rng(0)
    holds = rng.random((50, hypergraph.num_conditions)) < 0.1
    shown = predictor.shown(torch.from_numpy(np.packbits(holds, axis=1)))
    for row, seen in zip(holds, shown, strict=True):
        for effect, one in zip(predictor.visible.tolist(), seen.tolist(), strict=True):
            assert one == row[list(hypergraph.effects[effect].shown_by)].any()
    assert 0 < shown.mean() < 1


def test_alpha_is_a_distribution_and_masked_actions_are_impossible():
    policy, observation = make_policy(), observed(ONE_EACH[np.arange(32) % 4])
    mask = torch.from_numpy(observation.action_mask)
    for mapping in ("softmax", "sparsemax"):
        output = evaluated(policy, observation, Routing(mapping, 0.5))
        torch.testing.assert_close(output.alpha.sum(1), torch.ones(32))
        assert (output.logits.softmax(1)[~mask] == 0).all()
        heard = output.expert_logits + policy.proposal_gain * output.reading.proposals
        mixed = torch.einsum("bk,bka->ba", output.alpha, heard)
        torch.testing.assert_close(output.logits[mask], mixed[mask])


@pytest.mark.parametrize("num_experts", [1, 2, 4, 6])
def test_any_number_of_experts(num_experts):
    policy, observation = make_policy(num_experts), observed(ONE_EACH[np.arange(8) % 4])
    output = evaluated(policy, observation, Routing("sparsemax", 1.0))
    assert output.alpha.shape == (8, num_experts)
    assert output.expert_logits.shape == (8, num_experts, NUM_ACTIONS)
    assert torch.isfinite(output.advice_scores).all()


def test_without_the_graph_active_conditions_change_nothing():
    policy = make_policy(config=replace(SMALL, graph=False))
    output = evaluated(policy, alike(ONE_EACH))
    for part in output[:-1]:
        assert torch.equal(part, part[:1].expand_as(part))
    assert (output.advice_scores == 0).all()


def test_advice_can_take_the_routers_place():
    policy = make_policy(config=replace(SMALL, router="advice"))
    output = evaluated(policy, observed(ONE_EACH))
    torch.testing.assert_close(output.alpha, output.advice_scores.softmax(1))
    assert output.alpha.argmax(1).tolist() == [0, 1, 2, 3]


def test_the_router_departs_from_the_advice():
    policy = make_policy()
    last, observation = policy.router[-1], observed(ONE_EACH)
    with torch.no_grad():
        last.weight.zero_()
    output = evaluated(policy, observation)
    torch.testing.assert_close(output.alpha, output.advice_scores.softmax(1))
    with torch.no_grad():
        last.bias[2] += 100
    output = evaluated(policy, observation)
    assert (output.alpha.argmax(1) == 2).all()


@pytest.mark.parametrize(("router", "heard"), [("advised", True), ("learned", False)])
def test_scores_learn_through_the_advice_which_expert_is_heard(router, heard):
    policy = make_policy(config=replace(SMALL, router=router))
    alpha = evaluated(policy, alike(np.zeros(1, int))).alpha
    alpha[0, 0].backward()
    learned = [policy.manager.priority.grad, policy.manager.score.weight.grad]
    assert all((gradient is not None and gradient.any()) == heard for gradient in learned)


def test_no_experts_are_refused():
    with pytest.raises(ValueError, match="num_experts is 0"):
        make_policy(num_experts=0)
