"""Which expert each of V3's operators speaks for; V3's own files do not say."""

import re

from tedg_fast.hypergraph import EXPERTS

# A label is the operator's name and what tells variants of it apart: a hash, the dungeon level of a
# recorded strategy, or the monster that it is about.
_VARIANT = re.compile(r"((_rule)?_[0-9a-f]{8}|_autoascend_dlvl_\d+|_vs_\w+)$")

_OPERATORS = {
    "survival": (
        "altar", "drink", "eat", "elbereth", "engrave", "flee", "offer", "pray", "put_on",
        "quaff", "sacrifice", "wear",
    ),
    "combat": (
        "attack", "attack_melee", "attack_ranged", "fire", "kick", "medusa", "melee_attack",
        "ranged_attack", "swap_weapon", "throw", "turn_undead", "vlad", "wield", "zap",
    ),
    "exploration": (
        "climb", "force_lock", "go_down", "go_up", "identify_trap", "jump", "look", "minetown",
        "move", "move_no_fight", "move_no_pickup", "move_until_near", "open", "open_door",
        "oracle", "search", "sokoban", "teleport", "unlock_door", "untrap",
    ),
}  # fmt: skip
_EXPERT = {name: expert for expert, names in _OPERATORS.items() for name in names}


def operator_expert(label: str) -> int:
    """Index into ``EXPERTS`` of the expert that the operator node ``label`` belongs to.

    Decided by the operator's name alone, the label without its variant
    (``eat_autoascend_dlvl_5`` and ``eat_rule_c35a0846`` are both ``eat``): what keeps the hero fed,
    protected or out of a fight is survival; what hurts or equips to hurt is combat; moving, ways
    and their obstacles, looking, searching and the strategies named for places are exploration;
    every other name is general.
    """
    return EXPERTS.index(_EXPERT.get(_VARIANT.sub("", label), "general"))
