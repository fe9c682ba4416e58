"""The policy: what its parts must depend on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from probe import tiny_hypergraph
from rule_instances import instances, random_active

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.observation import ObservationSpec
from tedg_fast.policy import Policy, PolicyConfig, Routing, StateInput

SMALL = PolicyConfig(hidden_size=16, gat_heads=2, gat_head_size=8)
# Four states, in each of which one of the tiny hypergraph's conditions holds and its rule applies.
ONE_EACH = np.arange(4)
NOTHING = np.full(4, -1)


def make_policy(num_experts=4, hypergraph=None, config=SMALL):
    torch.manual_seed(0)
    return Policy(hypergraph or tiny_hypergraph(), num_experts, config)


def random_state(rows, seed=0):
    rng = np.random.default_rng(seed)
    observation = ObservationSpec(num_conditions=4).empty(rows)
    observation.features[:] = rng.normal(size=observation.features.shape)
    observation.crop[:] = rng.integers(0, 4, observation.crop.shape)
    observation.action_mask[:] = rng.random(observation.action_mask.shape) < 0.7
    observation.action_mask[:, 0] = True
    return StateInput.of(observation)


def logic_of(policy, rules):
    """The Manager's answer where of the tiny hypergraph's rules these apply, -1 for none."""
    packed = np.packbits(np.arange(4) == rules[:, None], axis=1)
    listed = [[(k, [1 + k])] if k >= 0 else [] for k in rules.tolist()]
    active = policy.manager.active(packed, instances(listed))
    return policy.manager(policy.manager.rules(), active)


def test_h_logic_differs_between_active_sets():
    """Fault (b): nodes without identity gave one and the same vector for every state."""
    h_logic = logic_of(make_policy(), ONE_EACH).h_logic
    distance = torch.cdist(h_logic, h_logic) + torch.eye(4)
    assert distance.min() > 0.05


def test_h_logic_differs_in_the_packaged_hypergraph():
    """Fault (b) again, where it matters: any single condition changes the Manager's answer."""
    hypergraph = load_hypergraph()
    manager = make_policy(hypergraph=hypergraph, config=PolicyConfig()).manager
    count = hypergraph.num_conditions
    packed = np.packbits(np.eye(count, dtype=bool), axis=1)
    active = manager.active(packed, instances([[]] * count))
    h_logic = manager(manager.rules(), active).h_logic
    distance = torch.cdist(h_logic, h_logic)
    distance.fill_diagonal_(torch.inf)
    assert distance.min() > 1e-2


def test_h_logic_differs_with_the_rules_that_apply():
    """The same conditions may hold of other objects, so that another rule applies."""
    hypergraph = load_hypergraph()
    manager = make_policy(hypergraph=hypergraph, config=PolicyConfig()).manager
    count = hypergraph.num_operators
    packed = np.zeros((count, -(-hypergraph.num_conditions // 8)), np.uint8)
    active = manager.active(packed, instances([[(k, [1])] for k in range(count)]))
    h_logic = manager(manager.rules(), active).h_logic
    distance = torch.cdist(h_logic, h_logic)
    distance.fill_diagonal_(torch.inf)
    assert distance.min() > 1e-2


def test_an_applicable_rule_speaks_for_its_expert():
    advice = logic_of(make_policy(), ONE_EACH).advice_scores
    assert advice.argmax(1).tolist() == [0, 1, 2, 3]


def test_attention_variance_is_0_for_uniform_and_1_for_one_hot_rows():
    hypergraph = load_hypergraph()
    manager = make_policy(hypergraph=hypergraph).manager
    active = manager.active(*random_active(np.random.default_rng(0), hypergraph, 3, fair=False))
    with torch.no_grad():
        manager.second.attend.zero_()
    assert manager.attention_variance(active) == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        manager.second.attend[0].normal_().mul_(1e4)
    assert manager.attention_variance(active) > 0.95


def test_experts_propose_what_their_rules_do():
    """A rule that applies raises its own expert's logits of its own actions, and no others."""
    policy, state = make_policy(), random_state(4)
    routing = Routing("softmax", 1.0)
    with torch.no_grad():
        quiet = logic_of(policy, NOTHING).proposals
        heard = logic_of(policy, ONE_EACH)
    for k in range(4):
        raised = (heard.proposals - quiet)[k] > 0.5
        assert raised.nonzero().tolist() == [[k, 1 + k]]
    with torch.no_grad():
        output = policy(state, heard, routing)
    own = torch.einsum("bk,bka->ba", output.alpha, output.expert_logits)
    added = torch.where(state.action_mask, output.logits - own, 0)
    gain = policy.proposal_gain[0, 0].item()
    for k in range(4):
        allowed = state.action_mask[k, 1 + k].item()
        expected = allowed * output.alpha[k, k] * gain * heard.proposals[k, k, 1 + k]
        assert added[k, 1 + k].item() == pytest.approx(expected.item(), rel=1e-4)


def test_how_much_an_expert_matters_is_the_routers_decision():
    """A stronger rule is louder advice; what its expert proposes is the same."""
    policy = make_policy()
    proposals = policy.manager.proposals
    packed = np.zeros((1, 1), np.uint8)
    listed = policy.manager.active(packed, instances([[(0, [1])]])).instances
    weak, strong = (proposals(listed, (proposals.priority + more).exp()) for more in (2, 5))
    assert strong[1][0, 0] > weak[1][0, 0] + 2
    torch.testing.assert_close(strong[0], weak[0])
    assert strong[0].max() == 1


def test_alpha_is_a_distribution_and_masked_actions_are_impossible():
    policy, state = make_policy(), random_state(32)
    logic = logic_of(policy, ONE_EACH[np.arange(32) % 4])
    for mapping in ("softmax", "sparsemax"):
        output = policy(state, logic, Routing(mapping, 0.5))
        torch.testing.assert_close(output.alpha.sum(1), torch.ones(32))
        assert (output.logits.softmax(1)[~state.action_mask] == 0).all()
        heard = output.expert_logits + policy.proposal_gain * logic.proposals
        mixed = torch.einsum("bk,bka->ba", output.alpha, heard)
        torch.testing.assert_close(output.logits[state.action_mask], mixed[state.action_mask])


@pytest.mark.parametrize("num_experts", [1, 2, 4, 6])
def test_any_number_of_experts(num_experts):
    policy, state = make_policy(num_experts), random_state(8)
    logic = logic_of(policy, ONE_EACH[np.arange(8) % 4])
    output = policy(state, logic, Routing("sparsemax", 1.0))
    assert output.alpha.shape == (8, num_experts)
    assert output.expert_logits.shape == (8, num_experts, 23)
    assert torch.isfinite(logic.advice_scores).all()


def test_without_the_graph_active_conditions_change_nothing():
    policy = make_policy(config=replace(SMALL, graph=False))
    state = random_state(1)
    states = StateInput(*(part.expand(4, -1) for part in state))
    output = policy(states, logic_of(policy, ONE_EACH), Routing("softmax", 1.0))
    for part in output:
        assert torch.equal(part, part[:1].expand_as(part))
    assert (output.advice_scores == 0).all()


def test_advice_can_take_the_routers_place():
    policy = make_policy(config=replace(SMALL, router="advice"))
    logic = logic_of(policy, ONE_EACH)
    output = policy(random_state(4), logic, Routing("softmax", 1.0))
    torch.testing.assert_close(output.alpha, logic.advice_scores.softmax(1))
    assert output.alpha.argmax(1).tolist() == [0, 1, 2, 3]


def test_the_router_departs_from_the_advice():
    policy = make_policy()
    logic, last = logic_of(policy, ONE_EACH), policy.router[-1]
    with torch.no_grad():
        last.weight.zero_()
    output = policy(random_state(4), logic, Routing("softmax", 1.0))
    torch.testing.assert_close(output.alpha, (0.2 * logic.advice_scores).softmax(1))
    with torch.no_grad():
        last.bias[2] += 100
    output = policy(random_state(4), logic, Routing("softmax", 1.0))
    assert (output.alpha.argmax(1) == 2).all()


def test_no_experts_are_refused():
    with pytest.raises(ValueError, match="num_experts is 0"):
        make_policy(num_experts=0)
