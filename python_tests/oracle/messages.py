"""What the game's message line says, by regular expressions."""

import re
from functools import lru_cache

from oracle.squares import NUMBERS
from tedg_fast.nethack.actions import KEYS, PRAY

SAID = {n.removeprefix("Said."): bit for n, bit in NUMBERS.items() if n.startswith("Said.")}

PATTERNS = {
    "DIRECTION_PROMPT": rb"In what direction\?",
    "EAT_ITEM_PROMPT": rb"What do you want to eat\?",
    "EAT_HERE_PROMPT": rb"eat (it|one)\?|(Continue|Stop) eating",
    "ATTACK_PROMPT": rb"Really attack",
    "PRAY_PROMPT": rb"want to pray\?",
    "DOOR_LOCKED": rb"[Dd]oor is locked",
    "DOOR_OPENED": rb"door opens",
    "DOOR_RESISTS": rb"door (resists|is stuck)|WHAMM|Thump|THUD",
    "DOOR_BROKEN": rb"door crashes open|door shatters|door breaks|kick the door",
    "NO_DIAGONAL": rb"can't move diagonally|carrying too much to get through|tight squeeze",
    "BOULDER_STUCK": rb"boulder, but in vain|cannot move past|[Tt]here is a boulder in your way",
    "IN_THE_WAY": rb"in the way|blocks your path|want to swap places|move out of .{1,40} way",
    "KILLED": rb"You (kill|destroy) |is (killed|destroyed)",
    "UNDEAD_KILLED": rb"(zombie|mummy)!",
    "HIT_ME": rb"(bites|hits|stings|touches you|claws|kicks|butts|burns|zaps|stabs)( you)?!",
    "MISSED_ME": rb"(?<!You )misses( you)?[!.]",
    "I_HIT": rb"You (hit|strike|kick|bite|claw|punch|slap|jab) (?!at empty)",
    "I_MISSED": rb"You miss|Your kick misses|clumsy kick",
    "OBJECT_HERE": rb"You (see|feel) here|(several|many) objects here",
    "CORPSE_HERE": rb"(see|feel) here .{0,60}corpse|corpses? here; eat",
    "TRAPPED": rb"You (fall into|land on|are still in|crawl to|are stuck|cannot pull)"
    rb"|in (a|the) (spiked |bear )?(pit|trap|web)|bear trap|trap ?door|cannot escape|held by"
    rb"|stuck to",
    "SHOP": rb"for sale|Welcome( again)? to |zorkmid|shopkeeper|leave the .{1,20} outside",
    "FOUND": rb"You find ",
    "STAIRS_DOWN_HERE": rb"(staircase|ladder) down here",
    "STAIRS_UP_HERE": rb"(staircase|ladder) up here",
    "DEADLY_FOOD": rb"(cockatrice|chickatrice|Medusa|green slime) (corpse|egg)",
    "RISKY_FOOD": rb"(jelly|mold|acid blob|gremlin|werejackal|wererat|werewolf|bat|dog|cat|kitten"
    rb"|human|elf|leprechaun|nymph|stalker|mimic|zombie|mummy) corpse",
    "POISONOUS_FOOD": rb"(kobold( lord| shaman)?|homunculus|quasit|bee|soldier ant|centipede"
    rb"|scorpion|snake|cobra|moccasin|viper|spider|rabid rat) corpse",
    "PAIN": rb"Ouch!|That hurts|Your leg",
    "NOISE": rb"You hear ",
    "OVERFULL": rb"hard time getting all of it down|stuffed|choke",
    "NO_FOOD": rb"have anything to eat",
    "GUARD": rb"[Ff]ollow me|Hello stranger|I don't know you",
}
_COMPILED = {name: re.compile(pattern) for name, pattern in PATTERNS.items()}
OFFER = re.compile(rb"\[([^\]]*?)( or \?\*)?\]")


@lru_cache(maxsize=8192)
def read(message: bytes) -> tuple[int, int]:
    """256 bytes, of which those before the first NUL count -> Said bits, bits of the actions whose
    key an eating prompt offers."""
    text = message.split(b"\0", 1)[0]
    said = sum(SAID[name] for name, pattern in _COMPILED.items() if pattern.search(text))
    return said, _offered(text) if said & SAID["EAT_ITEM_PROMPT"] else 0


def _offered(text: bytes) -> int:
    """Bits of the actions whose key is among the letters in "[abc or ?*]"."""
    found = OFFER.search(text)
    if not found:
        return 0
    letters = set()
    for piece in re.finditer(rb"(.)-(.)|(.)", found.group(1), re.DOTALL):
        low, high, single = piece.groups()
        letters |= set(single) if single else set(range(low[0], high[0] + 1))
    return sum(1 << action for action, key in enumerate(KEYS[:PRAY]) if key in letters)
