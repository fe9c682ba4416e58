"""What the conditions of version-2 files mean in the vocabulary of version 3."""

_HUNGRY = 'me.hunger not in ("satiated", "not_hungry")'
_FOUGHT = "any(direction.hostile)"
_EXPLODERS = (
    '("gas spore", "yellow light", "black light", "flaming sphere", "freezing sphere",'
    ' "shocking sphere")'
)
_PASSIVES = (
    '("acid blob", "spotted jelly", "ochre jelly", "green mold", "yellow mold", "red mold",'
    ' "brown mold", "lichen", "violet fungus", "shrieker")'
)
_UNTOUCHABLE = '("floating eye", "blue jelly", "gelatinous cube")'
_STONING = '("cockatrice", "chickatrice", "Medusa")'
_THIEVES = 'monster.letter == "n" or monster.name == "leprechaun"'


def _told(*names: str) -> dict[str, str]:
    return {f"told_{name}": f"told.{name}" for name in names}


def _near_hostile(condition: str) -> str:
    return f"any(monster.hostile and monster.adjacent and {condition})"


# Condition -> an expression without free objects.
EXPRESSIONS = {
    **_told(
        "door_locked", "door_resists", "door_gave_way", "no_diagonal", "boulder_stuck",
        "way_occupied", "killed", "hit_me", "missed_me", "i_hit", "i_missed", "object_here",
        "corpse_here", "shop", "found", "deadly_food", "risky_food", "pain", "noise", "overfull",
    ),
    "prompt_direction": 'prompt.kind == "direction"',
    "prompt_eat_item": 'prompt.kind == "eat_item"',
    "prompt_eat_here": 'prompt.kind == "eat_here"',
    "prompt_attack_peaceful": 'prompt.kind == "attack"',
    "prompt_other": 'prompt.kind == "other"',
    "more_pending": 'prompt.kind == "more"',
    "on_kill": "me.on_kill",
    "stale_meal_offered": 'prompt.kind == "eat_here" and told.corpse_here and not me.on_kill',
    "meal_underfoot": f"{_HUNGRY} and told.object_here and not told.corpse_here",
    "meal_at_hand": f"{_HUNGRY} and me.may_have_food",
    "trapped": "me.trapped",
    "step_failed": "me.step_failed",
    "standing_still": "6 <= me.still < 15",
    "stuck_in_place": "me.still >= 15",
    "time_frozen": "me.idle >= 3",
    "pacing": "me.pacing",
    "just_arrived": "level.turns < 10",
    "long_on_level": "level.turns > 400",
    "nothing_new": "level.unchanged > 100",
    "searched_here": "level.searched_here >= 10",
    "hp_good": "me.hp / me.max_hp >= 0.7",
    "hp_medium": "0.4 <= me.hp / me.max_hp < 0.7",
    "hp_low": "0.2 <= me.hp / me.max_hp < 0.4",
    "hp_critical": "me.hp / me.max_hp < 0.2",
    "hunger_satiated": 'me.hunger == "satiated"',
    "hunger_none": 'me.hunger == "not_hungry"',
    "hunger_hungry": 'me.hunger == "hungry"',
    "hunger_weak": 'me.hunger == "weak"',
    "hunger_fainting": 'me.hunger in ("fainting", "fainted", "starved")',
    "burdened": "me.burden >= 1",
    "experience_low": "me.level <= 2",
    "experience_medium": "3 <= me.level <= 5",
    "experience_high": "me.level >= 6",
    "depth_1": "me.depth <= 1",
    "depth_2": "me.depth == 2",
    "depth_3_to_4": "3 <= me.depth <= 4",
    "depth_5_to_9": "5 <= me.depth <= 9",
    "depth_10_plus": "me.depth >= 10",
    "in_gnomish_mines": 'me.dungeon == "mines"',
    "in_sokoban": 'me.dungeon == "sokoban"',
    "blind": "me.blind",
    "confused": "me.confused",
    "stunned": "me.stunned",
    "hallucinating": "me.hallucinating",
    "dying_of_illness": "me.dying",
    "off_the_ground": "me.levitating",
    "hp_dropped": "me.hp_lost > 0",
    "hp_dropped_badly": "me.hp_lost * 4 >= me.max_hp",
    "gold_gained": "me.gold_gained > 0",
    "experience_gained": "me.experience_gained > 0",
    "on_stairs_down": 'me.on == "stairs_down"',
    "on_stairs_up": 'me.on == "stairs_up"',
    "on_hole": 'me.on == "hole"',
    "on_doorway": 'me.on in ("doorway", "open_door")',
    "on_open_door": 'me.on == "open_door"',
    "in_corridor": 'me.on == "corridor"',
    "in_room": 'me.on == "floor"',
    "on_unknown_ground": 'me.on in ("unknown", "covered")',
    "on_furniture": 'me.on == "furniture"',
    "engulfed": "me.engulfed",
    "hostile_in_sight": "any(monster.hostile and not monster.unseen)",
    "strong_hostile_in_sight": "any(monster.level >= 5 and not monster.pet)",
    "untouchable_in_sight": f"any(monster.name in {_UNTOUCHABLE} and not monster.pet)",
    "keeper_in_sight": "any(monster.keeper)",
    "gold_in_sight": 'any(item.class == "coins")',
    "magic_item_in_sight": "any(item.magic)",
    "exploder_adjacent": f"any(monster.adjacent and monster.name in {_EXPLODERS})",
    "untouchable_adjacent": f"any(monster.adjacent and monster.name in {_UNTOUCHABLE})",
    "cockatrice_adjacent": f"any(monster.adjacent and monster.name in {_STONING})",
    "passive_adjacent": f"any(monster.adjacent and monster.name in {_PASSIVES})",
    "unseen_adjacent": "any(monster.adjacent and monster.unseen)",
    "keeper_adjacent": "any(monster.adjacent and monster.keeper)",
    "food_adjacent": 'any(item.adjacent and item.class == "food") or any(corpse.adjacent)',
    "magic_item_adjacent": "any(item.adjacent and item.magic)",
    "boulder_adjacent": "any(direction.boulder)",
    "strong_hostile_adjacent": _near_hostile("monster.level >= 5"),
    "weak_hostile_adjacent": _near_hostile("monster.level <= 1 and not monster.unseen"),
    "fast_hostile_adjacent": _near_hostile("monster.speed > 15"),
    "slow_hostile_adjacent": _near_hostile("monster.speed < 9 and not monster.unseen"),
    "thief_adjacent": _near_hostile(f"({_THIEVES})"),
    "hostile_adjacent": _FOUGHT,
    "hostiles_adjacent_two": "2 <= count(direction.hostile) <= 3",
    "hostiles_adjacent_many": "count(direction.hostile) >= 4",
    "hostile_close": "any(monster.hostile and not monster.unseen and monster.distance == 2)",
    "nobody_in_sight": "not any(monster.hostile)",
    "pet_in_fight": f"any(monster.pet and monster.adjacent) and {_FOUGHT}",
    "pet_in_the_way": "any(monster.pet and monster.adjacent) and told.way_occupied",
    "peaceful_adjacent": "any(monster.peaceful and monster.adjacent and not monster.keeper)",
    "food_wanted_in_sight": (
        f'{_HUNGRY} and (any(item.class == "food") or any(corpse.distance > 0))'
    ),
    "trap_adjacent": 'any(direction.terrain in ("trap", "pit"))',
    "liquid_adjacent": 'any(direction.terrain == "liquid")',
    "dead_end": "me.exits <= 1",
    "narrow_place": "me.exits == 2",
    "fight_in_the_open": f"me.exits >= 7 and {_FOUGHT}",
    "stairs_down_known": "level.stairs_down_known",
    "stairs_down_unknown": "not level.stairs_down_known",
    "way_down_reachable": "any(stairs_down.steps >= 0)",
    "way_down_near": "any(stairs_down.steps <= 5)",
    "way_down_blocked": "level.stairs_down_known and not any(stairs_down.steps >= 0)",
    "frontier_near": "any(frontier.steps <= 4)",
    "frontier_far": "any(frontier.steps > 4)",
    "nothing_to_explore": "not any(frontier.steps >= 0)",
    "level_unfinished": "any(frontier.steps >= 0) and level.turns < 200",
    "level_finished": "not any(frontier.steps >= 0) or level.turns >= 200",
    "gold_near": "any(gold.steps <= 6)",
    "gold_far": "any(gold.steps > 6)",
    "at_search_spot": "any(search_spot.steps == 0)",
    "nowhere_to_search": "not any(frontier.steps >= 0) and not any(search_spot.steps >= 0)",
}  # fmt: skip

# Families of eight (or four) conditions -> the variable of a lifted rule, what must hold of it,
# and what a step and a long move in the family's direction become.
_WAY = "p.steps > 0"
_NO_PROMPT = 'prompt.kind == "none"'
_TO_PLACE = ("move toward p", "run toward p")
_ALONG = ("move d", "run d")
FAMILIES = {
    "hostile": (
        "m: monster",
        ("m.hostile", "m.adjacent", f"m.name not in {_UNTOUCHABLE}", f"m.name not in {_EXPLODERS}"),
        ("move toward m", "run toward m"),
    ),
    "way_to_stairs": ("p: stairs_down", (_WAY, _NO_PROMPT), _TO_PLACE),
    "way_to_frontier": ("p: frontier", (_WAY, _NO_PROMPT), _TO_PLACE),
    "way_to_gold": ("p: gold", (_WAY, _NO_PROMPT), _TO_PLACE),
    "way_to_search_spot": ("p: search_spot", (_WAY, _NO_PROMPT), _TO_PLACE),
    "way_to_meal": ("p: meal", (_WAY, _NO_PROMPT, _HUNGRY), _TO_PLACE),
    "kill": ("d: direction", ("d.kill",), _ALONG),
    "closed_door": ("d: direction", ('d.terrain == "closed_door"', "not d.locked"), _ALONG),
    "locked_door": ("d: direction", ("d.locked",), _ALONG),
    "escape": ("d: direction", ("d.free", "d.threats == 0", _FOUGHT, _NO_PROMPT), _ALONG),
    "meal_key": (None, ("prompt.food > 0",), ("choose food", "choose food")),
}
STRAIGHT_FAMILIES = ("closed_door", "locked_door")  # those with four members
