"""What ``tedg-rules explain`` tells of a moment."""

import numpy as np
import pytest
from command import refused
from small_rules import rule, small, written

from tedg_fast import cli
from tedg_fast.evaluate.agents import find_agent
from tedg_fast.evaluate.play import Games, play
from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.hypergraph.printer import printed
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.rules.command import main
from tedg_fast.rules.expressions import of_rule, parts_of, resolved
from tedg_fast.rules.game import GroundedGame
from tedg_fast.rules.situation import Situation
from tedg_fast.rules.telling import map_lines

CHARACTER = "mon-hum-neu-mal"
PET = rule("pet", "move toward m", ["m.pet", "m.distance >= 1", "not me.blind"], ["m: monster"],
           priority=3)  # fmt: skip
IDLE = rule("idle", "search", ["me.hp > 0"])
HURT = rule("hurt", "search", ["weak", "me.depth == 1"], priority=5)
WEAK = 'weak = "me.hp < 0.5 * me.max_hp"'


def explained(capsys, *arguments):
    main(["explain", *map(str, arguments)])
    return capsys.readouterr().out


def section(text, start):
    """The lines from the one that begins so to the next empty one."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(start))
    end = lines.index("", first) if "" in lines[first:] else len(lines)
    return lines[first:end]


def test_a_moment_is_told(tmp_path, capsys):
    path = written(tmp_path, PET, IDLE, HURT, conditions=WEAK)
    text = explained(capsys, path, "--seed", 3)
    assert text.startswith(f"Step 0 of game 0 of seed 3 ({CHARACTER}), score 0\n\n")
    assert "@" in text and "Dlvl:1" in text
    (line,) = [line for line in text.splitlines() if line.startswith("you: ")]
    assert "14 of 14 hit points" in line and "depth 1 (main)" in line and "not hungry" in line
    (monsters,) = [line for line in text.splitlines() if line.startswith("monsters: ")]
    pet = monsters.removeprefix("monsters: ").removesuffix(" (pet)")
    assert pet.startswith("kitten, 1 ")
    way = pet.removeprefix("kitten, 1 ")
    assert section(text, "Played: ") == [
        f"Played: {way}, proposed by pet (m = {pet}).",
        "Why: 3 is the highest priority of all that applied (next: idle with 0).",
    ]
    assert section(text, "Rules that applied") == [
        "Rules that applied (2), the highest priority first:",
        f"▶ pet (m = {pet}) → {way}",
        "      general, priority 3: For tests.",
        "      yes m.pet",
        "      yes m.distance >= 1   with m.distance = 1",
        "      yes not me.blind",
        "  idle → search",
        "      general, no priority: For tests.",
        "      yes me.hp > 0   with me.hp = 14",
    ]
    assert section(text, "Near misses") == [
        "Near misses: rules that lacked one thing (1)",
        "  hurt",
        "      NO  weak (me.hp < 0.5 * me.max_hp)   with me.hp = 14, me.max_hp = 14",
    ]


def test_why_one_rule_did_not_apply(tmp_path, capsys):
    none = rule("none", "move toward s", ["s.steps > 0"], ["s: stairs_down"])
    twice = rule("twice", "search", ["m.pet", "n.pet"], ["m: monster", "n: monster"])
    press = rule("press", "choose food", ["me.hp > 0"])
    path = written(tmp_path, PET, IDLE, HURT, none, twice, press, conditions=WEAK)

    def lines(name):
        text = explained(capsys, path, "--seed", 3, "--rule", name)
        assert "Played" not in text
        return section(text, name)

    assert lines("none") == ["none did not apply: there is no stairs_down here."]
    assert lines("twice") == [
        "twice did not apply:", "  it needs two different objects of the kind monster",
    ]  # fmt: skip
    assert lines("press")[-1] == "      NO  'choose food' has no food to choose"
    assert lines("hurt")[1:] == [
        "      NO  weak (me.hp < 0.5 * me.max_hp)   with me.hp = 14, me.max_hp = 14",
        "      yes me.depth == 1   with me.depth = 1",
    ]
    assert lines("idle")[-1].startswith("  but pet (m = kitten, 1 ")
    assert lines("idle")[-1].endswith(" decided, with priority 3")


def test_ties_and_masked_proposals_are_told(tmp_path, capsys):
    tie = [rule(name, name, ["me.hp > 0"], priority=2) for name in ("search", "wait")]
    masked = rule("down", "down", ["me.hp > 0"], priority=9)
    text = explained(capsys, written(tmp_path, *tie, masked), "--seed", 3)
    why = " ".join(" ".join(section(text, "Why")).split())
    assert why == (
        "Why: what down proposed was masked; 2 is the highest priority left and has 2 proposals:"
        " search by search, wait by wait; the draw chose among them."
    )
    assert "  down → down (masked)" in text.splitlines()
    text = explained(capsys, written(tmp_path, masked), "--seed", 3)
    assert "The rules proposed only what is masked, so the draw chose among the" in text


def test_what_is_beyond_the_limits_is_told(tmp_path, capsys):
    many = [rule(f"r{i}", "search", ["d.run >= 0"], ["d: direction"]) for i in range(9)]
    text = explained(capsys, written(tmp_path, *many), "--seed", 3)
    assert "  … and the same rules for 40 more combinations of objects" in text
    assert "  (beyond the limits and left out: 8 instances of rules and " in text


def test_a_program_of_other_kinds_is_refused(tmp_path):
    rules = small(tmp_path, PET)
    game = GroundedGame(rules, 3, 0, 10, CHARACTER)
    code = rules.conditions[0].code
    assert game.grounder.value(code, rules.constants, ("monster",), (0,)) == 1.0
    with pytest.raises(ValueError, match="an empty slot"):
        game.grounder.value(code, rules.constants, (), ())
    game.close()


def test_the_moment_is_one_of_the_evaluated_game(capsys):
    agent = find_agent("rules", None, greedy=False)
    steps, number = 60, 1
    played = play(agent, Games(2, 5, steps, CHARACTER), num_envs=2, num_workers=1)
    game = GroundedGame(agent.rules, 5, number, steps, CHARACTER)
    while not game.over:
        choice = Situation(agent.rules, game.grounder, game.observation).choice(
            np.array([game.draw])
        )
        game.step(choice.action)
    game.close()
    episode = played.episodes[number]
    assert (game.game.length, game.game.true_score) == (episode.length, episode.true_score)


def test_a_moment_at_which_a_rule_decides_is_found(tmp_path, capsys):
    later = rule("later", "search", ["me.turn >= 6"], priority=7)
    path = written(tmp_path, IDLE, later)
    text = explained(capsys, path, "--seed", 3, "--until", "later")
    assert "proposed by later" in text
    first = int(text.split()[1])
    again = explained(capsys, path, "--seed", 3, "--step", first, "--until", "later")
    assert again == text
    text = explained(capsys, path, "--seed", 3, "--step", first + 1, "--until", "later")
    assert text.startswith(f"Step {first + 1} ")


def test_a_step_after_the_end_is_refused(tmp_path, monkeypatch, capsys):
    path = written(tmp_path, rule("run", ["run d", "move d"], ["d.free"], ["d: direction"]))
    line = refused(
        monkeypatch, capsys, "explain", path, "--seed", 1, "--step", 1999, "--character",
        "tou-hum-neu-mal", entry=cli.rules,
    )  # fmt: skip
    assert line.startswith("tedg-rules: the game ends at step ") and "; give --step " in line


def test_values_of_parts(tmp_path):
    """Every kind of part, its value beside what the facts say."""
    texts = [
        "count(monster.pet) == 1", "any(monster.hostile)", "nearest(monster.pet).distance == 1",
        "total(monster.pet, monster.level) >= 0",
    ]  # fmt: skip
    each = ["d: direction", "m: monster"]
    rules = small(tmp_path, rule("r", "search", texts), rule("s", "search", ["d.toward(m)"], each))
    game = GroundedGame(rules, 3, 0, 10, CHARACTER)
    situation = Situation(rules, game.grounder, game.observation)
    pet = situation.things.name("monster", 0)
    truths = situation.truths(0, ())
    level = situation.things.facts["monster"][0]["level"]
    assert [truth.values for truth in truths] == [
        (f"count(monster.pet) = 1: {pet}",),
        ("any(monster.hostile) = no",),
        (f"nearest(monster.pet).distance = 1: {pet}",),
        (f"total(monster.pet, monster.level) = {level:g}",),
    ]
    assert [truth.holds for truth in truths] == [True, False, True, True]
    ways = [place for place in range(8) if situation.truths(1, (place, 0))[0].holds]
    assert pet.split()[-1] in {situation.things.name("direction", way) for way in ways}
    game.close()


def test_canonical_conditions_are_told_with_the_rules_own_names(tmp_path):
    texts = [
        "n.hostile and any(monster.adjacent)", "count(distance(monster, m) <= 3) > 1",
        "m.level < n.level", 'm.name in ("newt", "jackal")',
    ]  # fmt: skip
    rules = small(tmp_path, rule("r", "move toward m", texts, ["m: monster", "n: monster"]))
    (operator,) = rules.operators
    for text, use in zip(texts, operator.conditions):
        condition = rules.conditions[use.condition]
        tree = resolved(condition, of_rule(operator, use), vocabulary())
        assert printed(tree) == text == use.text
        for part in parts_of(tree, condition.kinds, vocabulary()):
            assert part.text in text


def test_near_misses_of_the_packaged_rules_hold_but_for_one():
    rules = load_hypergraph()
    game = GroundedGame(rules, 4, 0, 120, CHARACTER)
    told = 0
    while not game.over:
        situation = Situation(rules, game.grounder, game.observation)
        if game.game.length % 20 == 0:
            for miss in situation.near_misses():
                truths = situation.truths(miss.rule, miss.objects)
                assert sum(not truth.holds for truth in truths) == (miss.lacks is not None)
                told += 1
            for instance in situation.instances:
                assert all(t.holds for t in situation.truths(instance.rule, instance.objects))
        game.step(situation.choice(np.array([game.draw])).action)
    game.close()
    assert told > 10


def test_the_map_is_trimmed_and_the_player_marked():
    chars = np.full((24, 80), ord(" "), np.uint8)
    for row, text in ((0, "Hello."), (5, "  |.@"), (7, "  ---"), (22, "Agent"), (23, "Dlvl:1")):
        chars[row, : len(text)] = np.frombuffer(text.encode(), np.uint8)
    assert list(map_lines(chars, (5, 4), ("[", "]"))) == [
        "Hello.", "  |.[@]", "", "  ---", "Agent", "Dlvl:1",
    ]  # fmt: skip
