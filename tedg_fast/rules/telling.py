"""A moment of a game told as text: the map, what the player knows, which rules spoke and why."""

import textwrap
from collections.abc import Iterable, Iterator

import numpy as np

from tedg_fast.hypergraph import ACTIONS
from tedg_fast.hypergraph.templates import Do
from tedg_fast.rules.situation import Choice, Instance, NearMiss, Situation, Truth

WIDTH = 100
MOST_MISSES = 12
MOST_INSTANCES = 3  # told in full of one rule that applies to many objects
MOST_BINDINGS = 3  # told of a rule that was asked for and does not apply
_MOST_THINGS = 8
_SEEN = ("pet", "peaceful", "hostile")  # the first that is true of a monster is told


def map_lines(
    chars: np.ndarray, cursor: tuple[int, int], player: tuple[str, str] = ("", "")
) -> Iterator[str]:
    """The terminal [24, 80] without what is empty around it; `player` is written around the square
    of the cursor."""
    lines = [bytes(row).decode("latin-1").rstrip() for row in chars]
    row, column = cursor
    marked = lines[row].ljust(column + 1)
    lines[row] = marked[:column] + marked[column].join(player) + marked[column + 1 :]
    full = [i for i, line in enumerate(lines) if line]
    for i in range(full[0], full[-1] + 1):
        # Empty lines keep the map in shape only where it lies on both sides of them.
        if lines[i] or (any(lines[1:i]) and any(lines[i:22])):
            yield lines[i]


def known_lines(situation: Situation) -> Iterator[str]:
    """What the player knows, in a few lines."""
    things = situation.things
    me, level = things.facts["me"][0], things.facts["level"][0]
    trouble = [
        name for name in ("blind", "confused", "stunned", "hallucinating", "dying", "trapped",
                          "engulfed") if me[name]
    ]  # fmt: skip
    yield from _told("you", [
        f"{me['hp']:g} of {me['max_hp']:g} hit points",
        f"experience level {me['level']:g}",
        f"depth {me['depth']:g} ({things.word('me', 'dungeon')})",
        things.word("me", "hunger"),
        f"standing on: {things.word('me', 'on')}",
        *trouble,
    ])  # fmt: skip
    yield from _told("this level", [
        f"{level['turns']:g} turns here",
        f"nothing new for {level['unchanged']:g} turns",
        f"way down {'known' if level['stairs_down_known'] else 'unknown'}",
    ])  # fmt: skip
    prompt = things.word("prompt", "kind")
    if prompt != "none":
        yield from _told("the game asks", [prompt])
    told = [name.replace("_", " ") for name, value in things.facts["told"][0].items() if value]
    yield from _told("the message tells", told)
    yield from _told("monsters", [_monster(situation, i) for i in range(things.count("monster"))])
    places = [(kind, i) for kind, i in things.positioned() if kind != "monster"]
    yield from _told("things and places", [things.name(*place) for place in places])


def _monster(situation: Situation, place: int) -> str:
    facts = situation.things.facts["monster"][place]
    how = next((word for word in _SEEN if facts[word]), "")
    return situation.things.name("monster", place) + (f" ({how})" if how else "")


def _told(what: str, parts: list[str]) -> Iterator[str]:
    if parts:
        left_out = len(parts) - _MOST_THINGS
        if left_out > 0:
            parts = [*parts[:_MOST_THINGS], f"{left_out} more"]
        yield from _wrapped(f"{what}: ", "; ".join(parts))


def played_lines(situation: Situation, choice: Choice) -> Iterator[str]:
    """What the rules alone do here, and why that."""
    action = ACTIONS[choice.action]
    if choice.winner < 0:
        allowed = sum(situation.allowed)
        proposed = "only what is masked" if situation.instances else "nothing"
        yield f"Played: {action}. The rules proposed {proposed}, so the draw chose among the"
        yield f"{allowed} allowed actions."
        return
    winner = situation.instances[choice.winner]
    name, priority = _name(situation, winner), situation.priority(winner.rule)
    yield f"Played: {action}, proposed by {name}."
    yield from _wrapped("Why: ", " ".join(_why(situation, choice, priority)))


def _why(situation: Situation, choice: Choice, priority: float) -> Iterator[str]:
    masked = [i for i in situation.instances if situation.priority(i.rule) > priority]
    if masked:
        names = _some([_name(situation, instance) for instance in masked])
        yield f"what {names} proposed was masked;"
    first = "the highest priority left" if masked else "the highest priority of all that applied"
    yield f"{priority:g} is {first}"
    if len(choice.ties) > 1:
        proposals = [
            f"{ACTIONS[action]} by {_name(situation, situation.instances[place])}"
            for place, action in choice.ties
        ]
        others = len({action for _, action in choice.ties}) > 1
        ending = "; the draw chose among them." if others else "."
        yield f"and has {len(proposals)} proposals: {_some(proposals, ', ')}{ending}"
        return
    lower = [i for i in situation.instances if situation.priority(i.rule) < priority]
    if lower:
        next_priority = situation.priority(lower[0].rule)
        yield f"(next: {_name(situation, lower[0])} with {next_priority:g})."
    else:
        yield "(nothing else applied)."


def _name(situation: Situation, instance: Instance) -> str:
    bound = situation.bound(instance.rule, instance.objects)
    name = situation.rules.operators[instance.rule].name
    return f"{name} ({bound})" if bound else name


def applied_lines(situation: Situation, choice: Choice) -> Iterator[str]:
    """Every rule that applied: to what, its conditions with their values, what it proposed."""
    yield f"Rules that applied ({len(situation.applying)}), the highest priority first:"
    told: dict[int, int] = {}
    for place, instance in enumerate(situation.instances):
        told[instance.rule] = told.get(instance.rule, 0) + 1
        won = place == choice.winner
        if told[instance.rule] <= MOST_INSTANCES or won:
            yield from instance_lines(situation, instance, won)
    more = sum(max(count - MOST_INSTANCES, 0) for count in told.values())
    if more:
        yield f"  … and the same rules for {more} more combinations of objects"


def left_out_lines(objects: int, instances: int) -> Iterator[str]:
    """What did not fit into the observation."""
    if objects or instances:
        yield (
            f"  (beyond the limits and left out: {instances} instances of rules and {objects}"
            " objects, the farthest)"
        )


def instance_lines(situation: Situation, instance: Instance, won: bool = False) -> Iterator[str]:
    operator = situation.rules.operators[instance.rule]
    actions = ", ".join(
        ACTIONS[a] + ("" if situation.allowed[a] else " (masked)") for a in instance.actions
    )
    priority = "no priority" if operator.priority is None else f"priority {operator.priority:g}"
    yield f"{'▶' if won else ' '} {_name(situation, instance)} → {actions}"
    yield f"      {operator.expert}, {priority}: {operator.why}"
    yield from truth_lines(situation.truths(instance.rule, instance.objects))


def truth_lines(truths: Iterable[Truth]) -> Iterator[str]:
    for truth in truths:
        values = f"   with {', '.join(truth.values)}" if truth.values else ""
        yield from _wrapped(f"      {'yes' if truth.holds else 'NO '} ", truth.text + values)


def miss_lines(situation: Situation, most: int = MOST_MISSES) -> Iterator[str]:
    """Rules that lacked one condition."""
    misses = situation.near_misses()
    if misses:
        yield f"Near misses: rules that lacked one thing ({len(misses)})"
    for miss in misses[:most]:
        yield f"  {_name(situation, Instance(miss.rule, miss.objects, ()))}"
        yield from _lack(situation, miss)
    if len(misses) > most:
        yield f"  … and {len(misses) - most} of lower priority (--all shows them)"


def _lack(situation: Situation, miss: NearMiss) -> Iterator[str]:
    if miss.lacks is None:
        yield from _wrapped("      NO  ", unable(situation, miss.rule))
    else:
        yield from truth_lines([miss.lacks])


def unable(situation: Situation, rule: int) -> str:
    """Why none of a rule's actions can be carried out although its conditions hold."""
    operator = situation.rules.operators[rule]
    actions = " or ".join(f"'{template.text}'" for template in operator.actions)
    prompt = situation.things.word("prompt", "kind")
    if any(template.kind == Do.CHOOSE_FOOD for template in operator.actions):
        return f"{actions} has no food to choose"
    if prompt != "none":
        return f"{actions} is not sent while the game asks ({prompt})"
    return f"{actions} finds no way there"


def rule_lines(situation: Situation, rule: int, choice: Choice) -> Iterator[str]:
    """Why one rule applied or did not."""
    operator = situation.rules.operators[rule]
    own = [
        (place, instance)
        for place, instance in enumerate(situation.instances)
        if instance.rule == rule
    ]
    if own:
        yield f"{operator.name} applied:"
        for place, instance in own:
            yield from instance_lines(situation, instance, place == choice.winner)
        if not any(place == choice.winner for place, _ in own):
            yield from _outdone(situation, choice)
        return
    missing = situation.missing(rule)
    if missing:
        yield f"{operator.name} did not apply: there is no {' and no '.join(missing)} here."
        return
    yield f"{operator.name} did not apply:"
    closest = situation.closest(rule, MOST_BINDINGS)
    for objects in closest:
        bound = situation.bound(rule, objects)
        if bound:
            yield f"  {bound}"
        yield from truth_lines(situation.truths(rule, objects))
        if not situation.failing(rule, objects):
            yield from _wrapped("      NO  ", unable(situation, rule))
    if not closest:
        yield f"  it needs two different objects of the kind {operator.variables[0]}"
    others = sum(1 for _ in situation.bindings(rule)) - len(closest)
    if others > 0:
        yield f"  … and {others} other combinations of objects, for which no fewer fail"


def _outdone(situation: Situation, choice: Choice) -> Iterator[str]:
    if choice.winner < 0:
        yield "  but what it proposed is masked"
        return
    winner = situation.instances[choice.winner]
    priority = situation.priority(winner.rule)
    yield f"  but {_name(situation, winner)} decided, with priority {priority:g}"


def _some(names: list[str], joint: str = " and ", most: int = 4) -> str:
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
    return joint.join(names)


def _wrapped(start: str, text: str) -> list[str]:
    indent = " " * (len(start) - len(start.lstrip()) + 6)
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
