"""The Manager equals its description, and what it says follows from what is there."""

import numpy as np
import pytest
import torch
from manager_in_float64 import inputs_of, make_manager, read
from nle import nethack
from plain_manager import plain_reading
from real_states import HYPERGRAPH, attack_state, real_states
from turned_states import turned

from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.facts.features import HP_SHARE, SCALED
from tedg_fast.nethack.facts.observation import (
    INSTANCES,
    NO_RULE,
    NOTHING,
    instances_of,
    objects_of,
)
from tedg_fast.nethack.facts.tables import monster_tables
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.policy import Policy, PolicyConfig, Routing

KINDS = ("attention", "mean", "no-objects")
HP_COLUMN = [column for column, _, _ in SCALED].index(nethack.NLE_BL_HP)


def assert_close(got, expected, name=""):
    """To what is left of the objects' facts in float32."""
    torch.testing.assert_close(
        got, expected, rtol=1e-4, atol=1e-5, msg=lambda text: f"{name}: {text}"
    )


def scores_of(manager, observation):
    with torch.no_grad():
        return read(manager, observation).score


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_experts", [2, 4])
def test_equals_its_description(kind, num_experts):
    """Values and the gradient of every parameter, on real states."""
    manager, observation = make_manager(kind, num_experts), real_states(10)
    with torch.no_grad():
        manager.priority.clamp_(max=3)  # so that no sum drowns the others
    weight = torch.randn(10, 8, dtype=torch.float64)

    def gradients(h_logic, proposals, advice, score):
        manager.zero_grad()
        total = (h_logic * weight).sum() + proposals.square().sum() + advice.square().sum()
        (total + score.square().sum()).backward()
        return {name: p.grad.clone() for name, p in manager.named_parameters()}

    reading = read(manager, observation)
    fast = (reading.h_logic, reading.proposals, reading.advice_scores, reading.score)
    rows = [
        plain_reading(manager, HYPERGRAPH, observation[b : b + 1], objects=kind != "no-objects")
        for b in range(10)
    ]
    h_logic, proposals, advice, score = zip(*rows)
    plain = (*map(torch.stack, (h_logic, proposals, advice)), torch.cat(score))
    assert len(score[0]) > 8 and any(len(scores) < 4 for scores in score)
    for got, expected in zip(fast, plain):
        assert_close(got, expected)
    got, expected = gradients(*fast), gradients(*plain)
    for name in expected:
        assert_close(got[name], expected[name], name)


# ---- It reads the state -----------------------------------------------------------------------


def hurt(observation, place):
    """The player has a tenth of his hit points."""
    observation.features[:, HP_COLUMN] *= 0.1
    observation.features[:, HP_SHARE] *= 0.1


def another_monster(observation, place):
    """The same place and facts, another kind: a soldier ant."""
    names = monster_tables().names[1:]
    objects_of(observation)["subject"][0, place] = names.index("soldier ant")


def farther(observation, place):
    """The monster is six squares off."""
    facts = objects_of(observation)["facts"][0, place]
    attribute = vocabulary().kind["monster"].attribute
    for name, value in {"distance": 6, "adjacent": 0, "east": 6, "south": 2, "steps": 6}.items():
        facts[attribute[name].number] = value


def in_company(observation, place):
    """A soldier ant stands behind it."""
    objects = objects_of(observation)[0]
    free = int(np.argmax(objects["kind"] == NOTHING))
    objects[free] = objects[place]
    objects["place"][free] = 1 + objects["place"][place]
    farther(observation, free)
    another_monster(observation, free)


MOVED = 1e-4  # rounding moves nothing by more than 1e-12
CHANGES = (hurt, another_monster, farther, in_company)


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_rules_score_otherwise_in_another_state(change):
    """The instances and what they are about stay, and yet the score of the one about the monster
    moves."""
    observation, instance, place = attack_state()
    manager = make_manager()
    before = scores_of(manager, observation)
    change(observation, place)
    assert abs(scores_of(manager, observation) - before)[instance] > MOVED


@pytest.mark.parametrize("change", CHANGES)
def test_the_state_reaches_the_scores_by_attention_alone(change):
    """The proof above is one only if a Manager that passes no messages fails it."""
    observation, _, place = attack_state()
    manager = make_manager()
    with torch.no_grad():
        for layer in (manager.first, manager.second):
            layer.project.weight.zero_()
    before = scores_of(manager, observation)
    change(observation, place)
    assert torch.equal(scores_of(manager, observation), before)


def test_without_objects_only_the_player_is_seen():
    manager = make_manager("no-objects")
    for change in CHANGES:
        observation, instance, place = attack_state()
        before = scores_of(manager, observation)
        change(observation, place)
        moved = abs(scores_of(manager, observation) - before)[instance]
        assert (moved > MOVED) == (change is hurt)


def test_a_changed_state_changes_h_logic():
    manager = make_manager()
    seen = []
    for change in (lambda *_: None, *CHANGES):
        observation, _, place = attack_state()
        change(observation, place)
        seen.append(read(manager, observation).h_logic[0].detach())
    distance = torch.cdist(torch.stack(seen), torch.stack(seen)).fill_diagonal_(torch.inf)
    assert distance.min() > MOVED


# ---- What it must not read --------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_a_turned_map_in_another_order_is_scored_the_same(kind, seed):
    """All eight turns and reflections, with instances and objects shuffled."""
    manager, observation = make_manager(kind), real_states(20)
    other, order, action = turned(observation, seed)
    before, after = read(manager, observation), read(manager, other)
    torch.testing.assert_close(after.score, before.score[order], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(after.h_logic, before.h_logic, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(after.advice_scores, before.advice_scores)
    torch.testing.assert_close(after.proposals[:, :, action], before.proposals)


def test_a_map_that_is_turned_in_part_is_another_map():
    """The test above sees directions that enter: those of a wall in the way, say."""
    manager, observation = make_manager(), real_states(20)
    objects = objects_of(observation)
    direction = vocabulary().kind["direction"]
    free = direction.attribute["free"].number
    before = scores_of(manager, observation)
    facts = objects["facts"]
    facts[..., free] = np.where(objects["kind"] == direction.number, 1 - facts[..., free],
                                facts[..., free])  # fmt: skip
    assert abs(scores_of(manager, observation) - before).max() > 1e-2


# ---- Batches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_selected_rows_are_evaluated_as_alone(kind):
    manager, observation = make_manager(kind), real_states(16)
    rows = torch.tensor([7, 0, 15, 7, 3])
    some = manager(inputs_of(manager, observation).select(rows))
    again = read(manager, observation[rows.numpy()])
    for name, one, other in zip(some._fields, some, again):
        torch.testing.assert_close(one, other, msg=name)


def test_states_of_any_size():
    """Without instances, with as many as fit, without objects, and no state at all."""
    manager, observation = make_manager(), real_states(8)
    listed, objects = instances_of(observation), objects_of(observation)
    listed["rule"][1:3] = NO_RULE
    objects["kind"][2:4] = NOTHING
    full = np.arange(INSTANCES)
    listed["rule"][4] = full % HYPERGRAPH.num_operators
    listed["actions"][4] = NOTHING
    listed["actions"][4, :, 0] = full % NUM_ACTIONS
    reading = read(manager, observation)
    assert all(torch.isfinite(part).all() for part in reading)
    assert not reading.proposals[1:3].any() and not reading.advice_scores[1:3].any()
    for b in range(8):
        h_logic, proposals, advice, score = plain_reading(
            manager, HYPERGRAPH, observation[b : b + 1]
        )
        assert_close(reading.h_logic[b], h_logic)
        assert_close(reading.proposals[b], proposals)
    nothing = read(manager, observation[:0])
    assert nothing.h_logic.shape == (0, 8) and nothing.proposals.shape == (0, 4, NUM_ACTIONS)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rule", 4000, "instances name rule 4000, expected less than"),
        ("actions", 24, "instances name action 24, expected less than 24"),
        ("kind", 99, "objects name kind 99, expected 4 to"),
        ("place", 32, "objects name place 32, expected less than 32"),
    ],
)
def test_what_there_is_not_is_refused(field, value, message):
    manager, observation = make_manager(), real_states(4)
    rows = instances_of(observation) if field in ("rule", "actions") else objects_of(observation)
    rows[field][0, 0] = value
    with pytest.raises(ValueError, match=message):
        manager.scenes(observation)


def test_arrays_of_other_shapes_are_refused():
    manager, observation = make_manager(), real_states(4)
    for name, array, message in (
        ("instances", observation.instances[:, :9], "instances must have 4 rows of 512 bytes"),
        ("objects", observation.objects[:2], "objects must have 4 rows of 2496 bytes"),
        ("active_bits", observation.active_bits.astype(int), "active_bits must have dtype uint8"),
    ):
        wrong = observation.copy()
        setattr(wrong, name, array)
        with pytest.raises(ValueError, match=message):
            manager.scenes(wrong)


# ---- Learning ---------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [
    *(PolicyConfig(manager=kind) for kind in KINDS), PolicyConfig(proposals="direct"),
    PolicyConfig(router="learned"), PolicyConfig(graph=False),
])  # fmt: skip
def test_gradients_reach_every_parameter(config):
    torch.manual_seed(0)
    policy = Policy(HYPERGRAPH, 4, config)
    torch.nn.init.normal_(policy.critic[-1].weight)  # of zeros nothing comes through
    inputs = policy.inputs(real_states(200))
    output = policy(inputs, Routing("softmax", 1.0))
    with torch.no_grad():
        action = torch.distributions.Categorical(logits=output.logits).sample()
    chosen = output.logits.log_softmax(1).gather(1, action[:, None])
    loss = (chosen.squeeze(1) * torch.randn(200)).sum() + output.value.sum()
    if policy.effects is not None:
        loss = loss + policy.effects(output.reading, inputs, action).square().sum()
    loss.backward()
    for name, parameter in policy.named_parameters():
        if config.graph or name != "proposal_gain":  # there is nothing then that it scales
            assert parameter.grad is not None and parameter.grad.any(), name


def test_attention_variance_is_0_for_uniform_and_1_for_one_hot_rows():
    manager = make_manager()
    inputs = inputs_of(manager, real_states(8))
    with torch.no_grad():
        manager.second.attend.zero_()
        manager.second.relation_bias.zero_()
    assert manager.attention_variance(inputs) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        manager.second.attend[0].normal_().mul_(1e4)
    assert manager.attention_variance(inputs) > 0.95
    mean = make_manager("mean")
    assert mean.attention_variance(inputs) == pytest.approx(0, abs=1e-6)


def test_edge_attention_sums_to_1_at_every_node_that_hears():
    manager = make_manager()
    inputs = inputs_of(manager, real_states(8))
    weights, graph = manager.edge_attention(inputs), inputs.scenes.graph
    target = graph.target + graph.node_start[:-1].repeat_interleave(graph.edge_start.diff())
    sums = torch.zeros(graph.num_nodes, 4, dtype=torch.float64).index_add(0, target, weights)
    hears = torch.bincount(target, minlength=graph.num_nodes) > 0
    torch.testing.assert_close(sums[hears], torch.ones_like(sums[hears]))
