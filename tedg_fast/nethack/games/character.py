"""Which characters NetHack lets one play.

It plays a random role, race or alignment instead of one that it does not know or allow.
"""

# Role -> its races and alignments; race -> its alignments.
_ROLES = {
    "arc": ("hum dwa gno", "law neu"), "bar": ("hum orc", "neu cha"),
    "cav": ("hum dwa gno", "law neu"), "hea": ("hum gno", "neu"), "kni": ("hum", "law"),
    "mon": ("hum", "law neu cha"), "pri": ("hum elf", "law neu cha"), "rog": ("hum orc", "cha"),
    "ran": ("hum elf gno orc", "neu cha"), "sam": ("hum", "law"), "tou": ("hum", "neu"),
    "val": ("hum dwa", "law neu"), "wiz": ("hum elf gno orc", "neu cha"),
}  # fmt: skip
_RACES = {"hum": "law neu cha", "elf": "cha", "dwa": "law", "gno": "neu", "orc": "cha"}


RANDOM = "@"
"""Any character, by each game's seed."""


def unplayable(character: str) -> str:
    """In words, that NetHack has no such `character` as "mon-hum-neu-mal", and what was expected;
    empty if it has, or for `RANDOM`."""
    if character == RANDOM or _can_be_played(character):
        return ""
    return (
        f"character is {character!r}; expected role-race-alignment-gender in NetHack's "
        f"three-letter words, in a combination that it allows, as mon-hum-neu-mal, or {RANDOM} "
        "for any"
    )


def _can_be_played(character: str) -> bool:
    role, race, alignment, gender = (character.split("-") + [""] * 4)[:4]
    races, alignments = (words.split() for words in _ROLES.get(role, ("", "")))
    known = character.count("-") == 3 and race in races and gender in ("mal", "fem")
    possible = known and alignment in alignments and alignment in _RACES[race].split()
    return possible and (role, gender) != ("val", "mal")
