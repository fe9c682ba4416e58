"""What a rule file allows but hardly means: rules that can never apply or never decide.

Both are told from the conditions' texts, so what is reported holds, but not everything that holds
is reported: `m.level < 3` beside `m.level > 5` goes unnoticed.
"""

from itertools import permutations

from tedg_fast.hypergraph.schema import Hypergraph, Operator


def remarks(graph: Hypergraph) -> list[str]:
    """One line for each rule that can never apply, or that another one always outweighs."""
    texts = [condition.text for condition in graph.conditions]
    said = []
    for rule in graph.operators:
        if reason := _contradiction(rule, texts):
            said.append(f"rule '{rule.name}' never applies: {reason}")
        elif (stronger := _outweighing(rule, graph.operators)) is not None:
            said.append(
                f"rule '{rule.name}' ({rule.priority or 0:g}) never decides: rule"
                f" '{stronger.name}' ({stronger.priority or 0:g}) applies whenever it does"
            )
    return said


def _contradiction(rule: Operator, texts: list[str]) -> str | None:
    """Two elements of `when` that exclude each other."""
    stated = {(texts[use.condition], use.variables) for use in rule.conditions}
    for text, variables in sorted(stated):
        if text == "false":
            return "it requires 'false'"
        for opposite in (f"not {text}", f"not ({text})"):
            if (opposite, variables) in stated:
                return f"it requires '{text}' and '{opposite}'"
    values: dict[tuple, str] = {}
    for text, variables in sorted(stated):
        subject, equal, word = text.rpartition(" == ")
        if equal and subject.replace(".", "").isidentifier() and word.startswith('"'):
            other = values.setdefault((subject, variables), text)
            if other != text:
                return f"it requires '{other}' and '{text}'"
    return None


def _outweighing(rule: Operator, rules: tuple[Operator, ...]) -> Operator | None:
    """A rule of higher priority with no other conditions than this one has."""
    own = {(use.condition, use.variables) for use in rule.conditions}
    for other in rules:
        if (other.priority or 0) <= (rule.priority or 0):
            continue
        if len(other.variables) > len(rule.variables):
            continue
        for places in permutations(range(len(rule.variables)), len(other.variables)):
            kinds = tuple(rule.variables[place] for place in places)
            theirs = {
                (use.condition, tuple(places[variable] for variable in use.variables))
                for use in other.conditions
            }
            if kinds == other.variables and theirs <= own:
                return other
    return None
