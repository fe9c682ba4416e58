"""What the grounding costs a game step, beside NLE's own step, for 10, 100 and 1,000 rules.

All on observations of real games that explore. A file's cost grows with its distinct conditions
more than with its rules; the packaged rules are repeated with other constants, so that all
conditions differ, which no file of that size would be likely to need.
"""

import json
import re
import tomllib
from importlib import resources

import numpy as np
import pytest

pytest.importorskip("nle")  # the kernels are compared also where there are no games

from grounded_games import GroundedGames, play
from small_rules import rule, small

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.facts.grounder import Grounder

GAMES, STEPS = 16, 200
COUNTS = (10, 100, 1000)
_NUMBER = re.compile(r"(?<=[<>=] )\d+(\.\d+)?")


@pytest.fixture(scope="module")
def recording():
    """[(raw, last_action, games that begin)] of games that explore, a fourth of them at random."""
    games, rng, steps = GroundedGames(GAMES, seed=300), np.random.default_rng(3), []

    def watch(game, look):
        if game == 0:
            steps.append((games.raw.copy(), games.last_action.copy(), np.flatnonzero(games.new)))

    play(games, STEPS, rng, watch)
    games.close()
    return steps


def many_rules(count: int) -> tuple[list[str], str]:
    """So many rules, and the conditions that they name: the packaged ones over and over, from the
    second round on with other numbers."""
    packaged = resources.files("tedg_fast.hypergraph").joinpath("data/nethack.toml").read_text()
    content = tomllib.loads(packaged)
    tables, named = content["rule"], content["conditions"]
    texts, used = [], {}
    for number in range(count):
        turn, place = divmod(number, len(tables))
        table = tables[place]
        when = [_other(part, turn, named, used) for part in table["when"]]
        each = table.get("each", [])
        texts.append(rule(
            f"{table['name']}_{turn}", table["do"], when, [each] if isinstance(each, str) else each,
            table.get("priority"), table["expert"],
        ))  # fmt: skip
    return texts, "\n".join(f"{name} = {json.dumps(text)}" for name, text in used.items())


def _other(expression: str, turn: int, named: dict[str, str], used: dict[str, str]) -> str:
    """An expression that means nearly the same and is shared with no other round; the conditions
    that it names are put into `used`."""
    changed = _NUMBER.sub(lambda found: f"{float(found.group(0)) + turn / 64:g}", expression)
    for name, meaning in named.items():
        found = re.compile(rf"(?<![\w.\"]){name}(?![\w\"])")
        if found.search(changed):
            changed = found.sub(f"{name}_{turn}", changed)
            used[f"{name}_{turn}"] = _other(meaning, turn, named, used)
    if changed == expression and turn and not expression.startswith("nearest"):
        return f"({expression}) and me.turn != {10_000_000 + turn}"
    return changed


@pytest.fixture(scope="module", params=COUNTS)
def rules(request, tmp_path_factory):
    texts, named = many_rules(request.param)
    return small(tmp_path_factory.mktemp("rules"), *texts, conditions=named)


def measure(benchmark, hypergraph: Hypergraph, recording, part: str) -> None:
    """One round is the whole recording; extra_info holds the nanoseconds a game step."""
    made = Grounder(hypergraph, GAMES)
    out = made.spec.empty(GAMES)

    def ground_all():
        for raw, last_action, begun in recording:
            for game in begun:
                made.reset(int(game))
            made(raw, last_action, out)

    benchmark.group = f"grounding | {GAMES} games"
    benchmark.extra_info["implementation"] = part
    benchmark.extra_info["conditions"] = hypergraph.num_conditions
    benchmark.pedantic(ground_all, rounds=20, warmup_rounds=1)
    nanoseconds = 1e9 * benchmark.stats.stats.min / (GAMES * len(recording))
    benchmark.extra_info["nanoseconds_a_game_step"] = nanoseconds


def test_facts(benchmark, recording, tmp_path):
    """Facts, features, crop and mask; a single rule that never applies costs next to nothing."""
    measure(benchmark, small(tmp_path, rule("r", "wait", ["me.turn < 0"])), recording, "facts")


def test_facts_and_matching(benchmark, rules, recording):
    """What matching costs is the difference to the facts alone."""
    measure(benchmark, rules, recording, f"facts and matching, {rules.num_operators} rules")


def test_a_games_own_step(benchmark):
    """NLE's step, as the games of training make it."""
    games, rng = GroundedGames(1, seed=300), np.random.default_rng(3)
    actions = rng.integers(1, 9, 2000).tolist()

    def step_all():
        for action in actions:
            games.step([action])

    benchmark.group = f"grounding | {GAMES} games"
    benchmark.extra_info["implementation"] = "NLE's step"
    benchmark.pedantic(step_all, rounds=10, warmup_rounds=1)
    games.close()
    nanoseconds = 1e9 * benchmark.stats.stats.min / len(actions)
    benchmark.extra_info["nanoseconds_a_game_step"] = nanoseconds
