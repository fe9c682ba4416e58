"""What the game's message line says, as bit flags.

NetHack repeats itself, so each distinct message is parsed once and remembered.
"""

import re

import numpy as np

from tedg_fast.nethack.actions import KEYS

_CACHE_LIMIT = 8192


class Said:
    """One bit for each thing a message can tell; plain integers, which numpy is fastest with."""

    DIRECTION_PROMPT = 1 << 0
    EAT_ITEM_PROMPT = 1 << 1
    EAT_HERE_PROMPT = 1 << 2
    ATTACK_PROMPT = 1 << 3
    DOOR_LOCKED = 1 << 4
    DOOR_OPENED = 1 << 5
    DOOR_RESISTS = 1 << 6
    DOOR_BROKEN = 1 << 7
    NO_DIAGONAL = 1 << 8
    BOULDER_STUCK = 1 << 9
    IN_THE_WAY = 1 << 10
    KILLED = 1 << 11
    HIT_ME = 1 << 12
    MISSED_ME = 1 << 13
    I_HIT = 1 << 14
    I_MISSED = 1 << 15
    OBJECT_HERE = 1 << 16
    CORPSE_HERE = 1 << 17
    TRAPPED = 1 << 18
    SHOP = 1 << 19
    FOUND = 1 << 20
    STAIRS_DOWN_HERE = 1 << 21
    STAIRS_UP_HERE = 1 << 22
    DEADLY_FOOD = 1 << 23
    RISKY_FOOD = 1 << 24
    PAIN = 1 << 25
    NOISE = 1 << 26
    OVERFULL = 1 << 27


_PATTERNS = {
    Said.DIRECTION_PROMPT: rb"In what direction\?",
    Said.EAT_ITEM_PROMPT: rb"What do you want to eat\?",
    Said.EAT_HERE_PROMPT: rb"eat (it|one)\?|(Continue|Stop) eating",
    Said.ATTACK_PROMPT: rb"Really attack",
    Said.DOOR_LOCKED: rb"[Dd]oor is locked",
    Said.DOOR_OPENED: rb"door opens",
    Said.DOOR_RESISTS: rb"door (resists|is stuck)|WHAMM|Thump|THUD",
    Said.DOOR_BROKEN: rb"door crashes open|door shatters|door breaks|kick the door",
    Said.NO_DIAGONAL: rb"can't move diagonally|carrying too much to get through|tight squeeze",
    Said.BOULDER_STUCK: rb"boulder, but in vain|cannot move past|[Tt]here is a boulder in your way",
    Said.IN_THE_WAY: rb"in the way|blocks your path|want to swap places|move out of .{1,40} way",
    Said.KILLED: rb"You (kill|destroy) |is (killed|destroyed)",
    Said.HIT_ME: rb"(bites|hits|stings|touches you|claws|kicks|butts|burns|zaps|stabs)( you)?!",
    Said.MISSED_ME: rb"(?<!You )misses( you)?[!.]",
    Said.I_HIT: rb"You (hit|strike|kick|bite|claw|punch|slap|jab) (?!at empty)",
    Said.I_MISSED: rb"You miss|Your kick misses|clumsy kick",
    Said.OBJECT_HERE: rb"You (see|feel) here|(several|many) objects here",
    Said.CORPSE_HERE: rb"(see|feel) here .{0,60}corpse|corpses? here; eat",
    Said.TRAPPED: rb"You (fall into|land on|are still in|crawl to|are stuck|cannot pull)"
    rb"|in (a|the) (spiked |bear )?(pit|trap|web)|bear trap|trap ?door|cannot escape|held by"
    rb"|stuck to",
    Said.SHOP: rb"for sale|Welcome( again)? to |zorkmid|shopkeeper|leave the .{1,20} outside",
    Said.FOUND: rb"You find ",
    Said.STAIRS_DOWN_HERE: rb"(staircase|ladder) down here",
    Said.STAIRS_UP_HERE: rb"(staircase|ladder) up here",
    Said.DEADLY_FOOD: rb"(cockatrice|chickatrice|Medusa|green slime) (corpse|egg)",
    Said.RISKY_FOOD: rb"(kobold|homunculus|quasit|bee|soldier ant|centipede|scorpion|snake|cobra"
    rb"|moccasin|viper|jelly|mold|acid blob|gremlin|spider|werejackal|wererat|werewolf|bat|dog"
    rb"|cat|kitten|human|elf|leprechaun|nymph|stalker|mimic|zombie|mummy) corpse",
    Said.PAIN: rb"Ouch!|That hurts|Your leg",
    Said.NOISE: rb"You hear ",
    Said.OVERFULL: rb"hard time getting all of it down|stuffed|choke",
}
_COMPILED = [(flag, re.compile(pattern)) for flag, pattern in _PATTERNS.items()]
_OFFER = re.compile(rb"\[([^\]]*?)( or \?\*)?\]")


def _offered(text: bytes) -> int:
    """Bits of the actions whose key is among the letters in the prompt's brackets."""
    found = _OFFER.search(text)
    if not found:
        return 0
    letters = set()
    for piece in re.finditer(rb"(.)-(.)|(.)", found.group(1), re.DOTALL):
        low, high, single = piece.groups()
        letters |= set(single) if single else set(range(low[0], high[0] + 1))
    return sum(1 << action for action, key in enumerate(KEYS) if key in letters)


class MessageReader:
    """Parses messages; keeps a bounded memory of those already parsed."""

    def __init__(self):
        self._known: dict[bytes, tuple[int, int]] = {}

    def read(self, message: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """message uint8 [G, 256] -> int64 [G] of Said bits, int64 [G] of offered-action bits.

        An action is offered when its key is one of the letters in "[abc or ?*]".
        """
        parsed = np.array([self._parse(row.tobytes()) for row in message], dtype=np.int64)
        parsed = parsed.reshape(-1, 2)
        return parsed[:, 0], parsed[:, 1]

    def _parse(self, message: bytes) -> tuple[int, int]:
        known = self._known.get(message)
        if known is None:
            text = message.split(b"\0", 1)[0]
            flags = sum(flag for flag, pattern in _COMPILED if pattern.search(text))
            offered = _offered(text) if flags & Said.EAT_ITEM_PROMPT else 0
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            known = self._known[message] = (flags, offered)
        return known
