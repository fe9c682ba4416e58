"""What a rule does: templates such as "move toward m", in terms of what its variables are bound to.

The environment's action names and the keys that they send are parameters, so that nothing here
depends on how many actions there are.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tedg_fast.hypergraph.names import hint
from tedg_fast.hypergraph.vocabulary import Vocabulary


class Do(IntEnum):
    """The kinds of templates. PRESS is for when the game waits for a command, ANSWER for when it
    waits for an answer, at --More-- also."""

    MOVE_TOWARD = 0
    RUN_TOWARD = 1
    MOVE_AWAY = 2
    RUN_AWAY = 3
    MOVE = 4
    RUN = 5
    PRESS = 6
    CHOOSE_FOOD = 7
    ANSWER = 8


@dataclass(frozen=True)
class Template:
    """`variable`: the number of the rule's variable that the template is about; `action`: the
    number of the environment's action that PRESS takes, unless the game waits for an answer, and
    ANSWER whatever it waits for; -1 where there is none. `text` is how the rule writes it."""

    kind: Do
    variable: int = -1
    action: int = -1
    text: str = ""


@dataclass(frozen=True)
class Keyboard:
    """The environment's actions: `names[i]` sends `keys[i]`."""

    names: tuple[str, ...]
    keys: bytes


class TemplateError(ValueError):
    """What is wrong with one template, without the place; one line."""


ANSWERING = "more"  # the one action that is nothing but an answer
USAGE = (
    "move toward x", "run toward x", "move away from x", "run away from x", "move d", "run d",
    'answer "y"', "choose food",
)  # fmt: skip

_TO_OBJECT = re.compile(r"(move|run) (toward|away from) (\w+)")
_ALONG = re.compile(r"(move|run) (\w+)")
_ANSWER = re.compile(r"""answer (?:"(.)"|'(.)')""")
_VERBS = {
    "move toward": Do.MOVE_TOWARD,
    "run toward": Do.RUN_TOWARD,
    "move away from": Do.MOVE_AWAY,
    "run away from": Do.RUN_AWAY,
}


def parse_template(
    text: str, variables: Mapping[str, str], vocabulary: Vocabulary, keyboard: Keyboard
) -> Template:
    """Reads one template; `variables` maps the rule's variables to their kinds, in order.

    Raises TemplateError: an unknown form, variable, kind of variable, action or key.
    """
    text = " ".join(text.split())
    if match := _TO_OBJECT.fullmatch(text):
        number, kind = _variable(match[3], variables, vocabulary)
        if not vocabulary.kind[kind].positioned:
            instead = f"; write '{match[1]} {match[3]}'" if kind == "direction" else ""
            raise TemplateError(f"'{match[3]}' is a {kind}, which has no position{instead}")
        return Template(_VERBS[f"{match[1]} {match[2]}"], variable=number, text=text)
    if match := _ALONG.fullmatch(text):
        number, kind = _variable(match[2], variables, vocabulary)
        if kind != "direction":
            raise TemplateError(
                f"'{match[2]}' is a {kind}; write '{match[1]} toward {match[2]}' or 'away from'"
            )
        return Template(Do[match[1].upper()], variable=number, text=text)
    if match := _ANSWER.fullmatch(text):
        return Template(Do.ANSWER, action=_key(match[1] or match[2], keyboard), text=text)
    if text == "choose food":
        return Template(Do.CHOOSE_FOOD, text=text)
    if text in keyboard.names:
        press = Do.ANSWER if text == ANSWERING else Do.PRESS
        return Template(press, action=keyboard.names.index(text), text=text)
    raise TemplateError(f"unknown action '{text}'{_action_hint(text, keyboard.names)}")


def _variable(
    name: str, variables: Mapping[str, str], vocabulary: Vocabulary
) -> tuple[int, str]:
    if name in vocabulary.objects and name not in variables:
        raise TemplateError(f"'{name}' is a kind; declare a variable: each = \"x: {name}\"")
    if name not in variables:
        remedy = hint(name, tuple(variables)) or '; declare it, as in each = "m: monster"'
        raise TemplateError(f"unknown variable '{name}'{remedy}")
    return list(variables).index(name), variables[name]


def _key(key: str, keyboard: Keyboard) -> int:
    place = keyboard.keys.find(key.encode())
    if place < 0:
        sent = " ".join(chr(byte) for byte in keyboard.keys if 32 < byte < 127)
        raise TemplateError(f"no action sends the key '{key}'; the keys are {sent}")
    return place


def _action_hint(text: str, names: Sequence[str]) -> str:
    known = hint(text, (*USAGE, *names))
    return known or f"; expected {', '.join(USAGE)} or an action's name"
