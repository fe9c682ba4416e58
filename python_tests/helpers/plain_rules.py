"""Which rules apply, by plain Python: every binding of every rule is tried, from its text."""

from dataclasses import dataclass
from itertools import product

from oracle import Look
from oracle.facts import Facts as OracleFacts
from oracle.paths import GOALS
from plain_evaluation import STEPS, Evaluation, Facts
from small_rules import rule

from tedg_fast.hypergraph import ACTIONS
from tedg_fast.nethack.actions import FIRST_FAR_MOVE, FIRST_MOVE, KEYS
from tedg_fast.nethack.facts.vocabulary import vocabulary


@dataclass(frozen=True)
class PlainRule:
    """A rule as its file says it, each variable as (name, kind); `when` holds unless given."""

    do: tuple[str, ...]
    each: tuple[tuple[str, str], ...] = ()
    when: tuple[str, ...] = ("me.max_hp > 0",)
    priority: float | None = None

    def text(self, name: str) -> str:
        each = [f"{variable}: {kind}" for variable, kind in self.each]
        return rule(name, list(self.do), list(self.when), each, self.priority)


Found = tuple[int, tuple[int, ...], tuple[int, ...]]  # rule, objects, actions


def plain_facts(objects: dict[str, list[dict[str, float]]]) -> Facts:
    """Facts with words as words and truths as truths."""
    found = {}
    for kind, things in objects.items():
        described = vocabulary().kind[kind].attribute
        found[kind] = [
            {
                name: described[name].words[int(value)] if described[name].type == "word"
                else bool(value) if described[name].type == "truth" else value
                for name, value in thing.items()
            }
            for thing in things
        ]  # fmt: skip
    for number, direction in enumerate(found["direction"]):
        direction["number"] = number
    return Facts(vocabulary(), found)


def applying(rules: list[PlainRule], look: Look) -> list[Found]:
    """What applies: higher priorities first, then the file's order, then nearer objects."""
    facts = plain_facts(look.facts.objects)
    evaluation = Evaluation(facts)
    offered = look.scene.offered if look.scene.prompt else 0
    found = []
    order = sorted(range(len(rules)), key=lambda number: -(rules[number].priority or 0.0))
    for number in order:
        each = rules[number].each
        for objects in product(*(range(len(facts.objects[kind])) for _, kind in each)):
            if len(each) == 2 and each[0][1] == each[1][1] and objects[0] == objects[1]:
                continue
            scope = {
                name: (kind, facts.objects[kind][i]) for (name, kind), i in zip(each, objects)
            }
            if not all(evaluation.of(text, scope) for text in rules[number].when):
                continue
            places = {name: (kind, i) for (name, kind), i in zip(each, objects)}
            actions = [action_of(text, places, look.facts, offered) for text in rules[number].do]
            distinct = tuple(dict.fromkeys(action for action in actions if action is not None))
            if distinct:
                found.append((number, objects, distinct))
    return found


def action_of(
    text: str, places: dict[str, tuple[str, int]], facts: OracleFacts, offered: int
) -> int | None:
    """The action that carries out one template for these objects; None where none does."""
    prompt = int(facts.objects["prompt"][0]["kind"])  # 0 none, 1 more, 2 direction
    if text == "choose food":
        return (offered & -offered).bit_length() - 1 if offered else None
    if text.startswith("answer"):
        return KEYS.index(text.split('"')[1].encode())
    if text in ACTIONS:
        return ACTIONS.index(text) if prompt == 0 or text == "more" else None
    verb, *rest, name = text.split()
    if prompt not in (0, 2) or (verb == "run" and prompt == 2):
        return None
    way = way_to(facts, *places[name], away="away" in rest)
    first = FIRST_FAR_MOVE if verb == "run" else FIRST_MOVE
    return None if way < 0 else first + way


def way_to(facts: OracleFacts, kind: str, index: int, *, away: bool) -> int:
    """The direction of a step toward or away from an object, -1 where there is none."""
    if kind == "direction":
        return index
    first = facts.first_steps[kind][index]
    if not away and (first >= 0 or kind in GOALS):
        return first
    gains = []
    for way in range(8):
        farther = farther_by(facts, kind, index, way)
        gains.append((farther if away else -farther) if facts.free[way] else 0)
    return gains.index(max(gains)) if max(gains) > 0 else -1


def farther_by(facts: OracleFacts, kind: str, index: int, way: int) -> float:
    """How much farther an object is after a step."""
    if kind in GOALS:  # known by the way to it only
        first = facts.first_steps[kind][index]
        return 1 if first < 0 else -1 if first == way else 0
    thing, (east, south) = facts.objects[kind][index], STEPS[way]
    after = max(abs(thing["east"] - east), abs(thing["south"] - south))
    return after - max(abs(thing["east"]), abs(thing["south"]))
