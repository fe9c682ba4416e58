"""Compiled rules that no loader would make: refused with ValueError, or run without harm."""

import numpy as np
import pytest
from nle import nethack
from odd_observations import RandomWorlds

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.hypergraph.program import Op
from tedg_fast.nethack import _native_grounding
from tedg_fast.nethack.facts import grounder as grounder_module
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import ObservationSpec
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.nethack.games.game import empty_observations

ME, DIRECTION, MONSTER, STAIRS = (
    vocabulary().kind[name].number for name in ("me", "direction", "monster", "stairs_down")
)
NONE = (-1, -1)
TRUE = ([(Op.CONST, 0, 0, 0)], NONE)  # a condition; constants are [1.0]
SEARCH = (6, -1, 22)  # a template


def built(monkeypatch, conditions=(TRUE,), rules=(), constants=(1.0,)) -> Grounder:
    """A Grounder with these compiled conditions (code, kinds) and rules in place of a file's."""
    compiled = [(np.array(code, np.int32).reshape(-1, 4), kinds) for code, kinds in conditions]
    whole = [(*rule, 0, False) for rule in rules]  # of the first expert, asking for nothing
    monkeypatch.setattr(grounder_module, "_compiled", lambda hypergraph: (compiled, whole))

    class Some:
        num_conditions, operators = len(compiled), ()

    Some.constants = np.array(constants, np.float64)
    return Grounder(Some(), 1)


def runs(grounder: Grounder, raw) -> None:
    grounder(raw, np.array([-1]), ObservationSpec(grounder.spec.num_conditions).empty(1))


GOOD_RULE = (0.0, NONE, [(0, NONE)], [SEARCH])
FACT = (Op.FACT, 0, 0, 0)


@pytest.mark.parametrize("rule", [
    (np.nan, NONE, [], [SEARCH]), (np.inf, NONE, [], [SEARCH]),
    (0.0, (-1, MONSTER), [], [SEARCH]), (0.0, (ME, -1), [], [SEARCH]),
    (0.0, (999, -1), [], [SEARCH]), (0.0, (-2, -1), [], [SEARCH]),
    (0.0, NONE, [], []), (0.0, NONE, [], [SEARCH] * 5),
    (0.0, NONE, [(1, NONE)], [SEARCH]), (0.0, NONE, [(-1, NONE)], [SEARCH]),
    (0.0, NONE, [], [(99, -1, 22)]), (0.0, NONE, [], [(-1, -1, 22)]),
    (0.0, NONE, [], [(6, -1, 24)]), (0.0, NONE, [], [(8, -1, -1)]),
    (0.0, NONE, [], [(0, 0, -1)]), (0.0, (MONSTER, -1), [], [(0, 1, -1)]),
    (0.0, (MONSTER, -1), [], [(0, -1, -1)]), (0.0, (MONSTER, -1), [], [(0, 2, -1)]),
    (0.0, (MONSTER, -1), [], [(4, 0, -1)]), (0.0, (DIRECTION, -1), [], [(0, 0, -1)]),
    (0.0, (DIRECTION, -1), [], [(2, 0, -1)]),
])  # fmt: skip
def test_rules_that_do_not_fit_together_are_refused(monkeypatch, rule):
    built(monkeypatch, rules=[GOOD_RULE])
    with pytest.raises(ValueError, match="the compiled rules have"):
        built(monkeypatch, rules=[GOOD_RULE, rule])


@pytest.mark.parametrize("use", [
    (0, (-1, -1)), (0, (1, -1)), (0, (2, -1)), (1, (0, 0)), (1, (1, 0)), (1, (0, -1)),
])  # fmt: skip
def test_conditions_about_other_objects_are_refused(monkeypatch, use):
    conditions = [([FACT], (MONSTER, -1)), ([FACT], (MONSTER, DIRECTION))]
    kinds = (MONSTER, DIRECTION)
    built(monkeypatch, conditions, [(0.0, kinds, [(0, (0, -1)), (1, (0, 1))], [SEARCH])])
    with pytest.raises(ValueError, match="the compiled rules have"):
        built(monkeypatch, conditions, [(0.0, kinds, [use], [SEARCH])])


@pytest.mark.parametrize(("code", "kinds"), [
    ([], NONE), ([(Op.CONST, 0, 0, 0)] * 2, NONE), ([(Op.CONST, 0, 0, 0)] * 600, NONE),
    ([(99, 0, 0, 0)], NONE), ([(-1, 0, 0, 0)], NONE), ([(Op.CONST, 1, 0, 0)], NONE),
    ([(Op.CONST, -1, 0, 0)], NONE), ([(Op.ADD, 0, 0, 0)], NONE), ([FACT], NONE),
    ([(Op.FACT, 1, 0, 0)], (MONSTER, -1)), ([(Op.FACT, 0, 999, 0)], (MONSTER, -1)),
    ([(Op.FACT, 0, -1, 0)], (MONSTER, -1)), ([(Op.FACT, 9, 0, 0)], (MONSTER, -1)),
    ([(Op.ONLY, MONSTER, 0, 0)], NONE), ([(Op.ONLY, -1, 0, 0)], NONE),
    ([(Op.ONLY, ME, 999, 0)], NONE), ([(Op.CONST, 0, 0, 0), (Op.IN, 0, 2, 0)], NONE),
    ([(Op.CONST, 0, 0, 0), (Op.IN, 1, 2**31 - 1, 0)], NONE),
    ([(Op.AWAY, 0, 1, 0)], (MONSTER, DIRECTION)), ([(Op.AWAY, 0, 1, 0)], (DIRECTION, -1)),
    ([(Op.DISTANCE, 0, 1, 0)], (DIRECTION, MONSTER)),
    ([(Op.COUNT, 2, MONSTER, 1)], NONE), ([(Op.COUNT, 2, MONSTER, 2**31 - 1), FACT], NONE),
    ([(Op.COUNT, 0, MONSTER, 1), (Op.CONST, 0, 0, 0)], NONE),
    ([(Op.COUNT, 4, MONSTER, 1), (Op.CONST, 0, 0, 0)], NONE),
    ([(Op.COUNT, 2, ME, 1), (Op.CONST, 0, 0, 0)], NONE),
    ([(Op.COUNT, 2, 999, 1), (Op.CONST, 0, 0, 0)], NONE),
    ([(Op.TOTAL, 2, MONSTER, 1), (Op.CONST, 0, 0, 0)], NONE),
    ([(Op.CONST, 0, 0, 0)] * 30 + [(Op.ADD, 0, 0, 0)] * 29, NONE),
    ([(Op.CONST, 0, 0, 0)], (-1, MONSTER)), ([(Op.CONST, 0, 0, 0)], (ME, -1)),
    ([(Op.CONST, 0, 0, 0)], (-2, -1)), ([(Op.CONST, 0, 0, 0)], (99, -1)),
])  # fmt: skip
def test_programs_that_could_do_harm_are_refused(monkeypatch, code, kinds):
    with pytest.raises(ValueError):
        built(monkeypatch, [(code, kinds)])


def test_programs_of_another_shape_are_refused(monkeypatch):
    for code in (np.zeros((1, 3), np.int32), np.zeros(4, np.int32)):
        monkeypatch.setattr(grounder_module, "_compiled", lambda _, code=code: ([(code, NONE)], []))
        with pytest.raises(ValueError, match="code must be int32"):
            Grounder(load_hypergraph(), 1)


def random_code(rng: np.random.Generator, good: list[np.ndarray]) -> np.ndarray:
    """Noise, small numbers, or a good program with a few numbers changed."""
    kind = rng.integers(3)
    if kind == 0:
        return rng.integers(-(2**31), 2**31, (rng.integers(1, 8), 4), np.int64).astype(np.int32)
    if kind == 1:
        code = rng.integers(-1, 6, (rng.integers(1, 10), 4))
        code[:, 0] = rng.integers(0, len(Op), len(code))
        return code.astype(np.int32)
    code = good[rng.integers(len(good))].copy()
    for _ in range(rng.integers(1, 4)):
        code[rng.integers(len(code)), rng.integers(4)] = rng.choice([-1, 0, 1, 2, 3, 5, 22, 26, 99])
    return code


def test_thousands_of_random_programs(monkeypatch):
    """What is not refused runs on whatever the facts are, and gives the same twice."""
    rng = np.random.default_rng(1)
    packaged = load_hypergraph()
    good = [condition.code for condition in packaged.conditions]
    worlds = RandomWorlds(4, rng)
    for _ in range(30):
        worlds.step()
    kinds = list(range(-2, len(vocabulary().kinds) + 1))
    refused, accepted = 0, []
    for _ in range(6000):
        code = random_code(rng, good)
        pair = (int(rng.choice(kinds)), int(rng.choice([-1, -1, *kinds])))
        try:
            grounder = built(monkeypatch, [(code, pair)], constants=packaged.constants)
        except ValueError:
            refused += 1
            continue
        accepted.append((code, pair))
        row = int(rng.integers(4))
        runs(grounder, worlds.raw[row : row + 1])
    assert refused > 1000 and len(accepted) > 200
    together = built(monkeypatch, accepted, constants=packaged.constants)
    outs = [together.spec.empty(1) for _ in range(2)]
    for out in outs:
        together.reset(0)
        together(worlds.raw[:1], np.array([-1]), out)
    assert np.array_equal(outs[0].active_bits, outs[1].active_bits)


def test_thousands_of_random_rules(monkeypatch):
    rng = np.random.default_rng(2)
    conditions = [TRUE, ([FACT], (MONSTER, -1)), ([FACT], (DIRECTION, -1)),
                  ([(Op.AWAY, 0, 1, 0)], (DIRECTION, MONSTER))]  # fmt: skip
    worlds = RandomWorlds(1, rng)
    some = (-1, DIRECTION, MONSTER, STAIRS)
    refused = 0
    for _ in range(4000):

        def number(low, high):
            return int(rng.integers(low, high))

        pair = (int(rng.choice(some)), int(rng.choice(some)))
        when = [(number(-1, 5), (number(-1, 3), number(-1, 3))) for _ in range(number(0, 3))]
        do = [(number(-1, 10), number(-1, 3), number(-1, 24)) for _ in range(number(1, 4))]
        try:
            grounder = built(monkeypatch, conditions, [(float(rng.normal()), pair, when, do)])
        except ValueError:
            refused += 1
            continue
        out = grounder.spec.empty(1)
        grounder(worlds.raw, np.array([-1]), out)
        grounder.choose(out, rng.random(1))
        if rng.random() < 0.2:
            worlds.step()
    assert 500 < refused < 3990


def test_evaluating_over_facts_of_other_sizes_is_refused():
    code = np.array([[Op.FACT, 0, 0, 0]], np.int32)
    monsters = np.zeros((381, 30))
    for rows in (np.zeros((25, 11)), np.zeros((2, 3))):
        with pytest.raises(ValueError, match="objects of kind monster"):
            _native_grounding.evaluate(code, np.zeros(0), (MONSTER, -1), (0, -1),
                                       {MONSTER: rows}, {}, monsters)  # fmt: skip


def test_many_rules_are_many_and_too_many_are_refused(monkeypatch):
    grounder = built(monkeypatch, rules=[GOOD_RULE] * 2000)
    raw = empty_observations(1)
    raw.blstats[0, nethack.NLE_BL_HPMAX] = 1
    runs(grounder, raw)
    assert grounder.left_out[1] == 2000 - 64
    with pytest.raises(ValueError, match="too many rules"):
        built(monkeypatch, rules=[GOOD_RULE] * 65535)
