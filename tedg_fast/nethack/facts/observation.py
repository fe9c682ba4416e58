"""What a policy sees of one game, and NLE's arrays that it is read from."""

from dataclasses import dataclass

import numpy as np

from tedg_fast.nethack import _native_grounding
from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.facts.features import NUM_FEATURES
from tedg_fast.nethack.rows import Rows

CROP = 9
INSTANCES = 64
OBJECTS = 48

OBSERVATION_KEYS = ("glyphs", "blstats", "message", "misc")

# A rule that applies: its number (NO_RULE: none), the places of the objects that it is about among
# those of their kinds, and the actions that carry it out (NOTHING: fewer).
# csrc/nethack/rules/matcher.h
INSTANCE = np.dtype([("rule", np.uint16), ("objects", np.uint8, (2,)), ("actions", np.uint8, (4,))])
NO_RULE, NOTHING = 0xFFFF, 0xFF
CONTESTED = -1

OBJECT_FACTS = max(
    sum(not attribute["table"] for attribute in kind["attributes"])
    for kind in _native_grounding.vocabulary() if not kind["singleton"]
)  # fmt: skip
# An object: its kind's number in the vocabulary (NOTHING: there is none), its place among those of
# the kind, the kind of monster that it is or whose corpse (NO_SUBJECT: neither), and the kind's
# computed attributes in the vocabulary's order, then zeros. csrc/nethack/object_row.h
OBJECT = np.dtype(
    [
        ("kind", np.uint8), ("place", np.uint8), ("subject", np.uint16),
        ("facts", np.float32, (OBJECT_FACTS,)),
    ]
)  # fmt: skip
NO_SUBJECT = 0xFFFF


@dataclass
class RawObservation(Rows):
    """NLE's arrays of G games, stacked; only the keys in OBSERVATION_KEYS are asked for."""

    glyphs: np.ndarray  # int16 [G, 21, 79]
    blstats: np.ndarray  # int64 [G, 27]
    message: np.ndarray  # uint8 [G, 256]
    misc: np.ndarray  # int32 [G, 3]: in a yes/no prompt, in a text prompt, at --More--


@dataclass
class Observation(Rows):
    """One row per game; every field has the same leading dimensions [...]."""

    active_bits: np.ndarray  # uint8 [..., ceil(C / 8)]: active conditions, np.packbits order
    instances: np.ndarray  # uint8 [..., INSTANCES, 8]: rules that apply, see `instances_of`
    objects: np.ndarray  # uint8 [..., OBJECTS, OBJECT.itemsize]: what is there, see `objects_of`
    features: np.ndarray  # float32 [..., NUM_FEATURES]: see features.py
    crop: np.ndarray  # uint8 [..., CROP * CROP]: glyph classes around the player, row-major
    action_mask: np.ndarray  # bool [..., 23]: True = allowed; never an all-False row
    # int8 [...]: what the rules carry out by themselves; CONTESTED: a decision is asked for
    rule_action: np.ndarray

    def flat(self) -> "Observation":
        """The same rows with their two leading dimensions made one."""
        fields = (self.active_bits, self.instances, self.objects, self.features, self.crop,
                  self.action_mask, self.rule_action)  # fmt: skip
        rows = len(self.crop) * self.crop.shape[1]  # -1 would not do where a field is empty
        return Observation(
            *(np.ascontiguousarray(field).reshape(rows, *field.shape[2:]) for field in fields)
        )


@dataclass(frozen=True)
class ObservationSpec:
    """Shapes and dtypes of an Observation's row for a hypergraph of so many conditions."""

    num_conditions: int

    def fields(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Name -> (shape of one row, dtype), in the order of Observation's fields."""
        return {
            "active_bits": ((-(-self.num_conditions // 8),), np.dtype(np.uint8)),
            "instances": ((INSTANCES, INSTANCE.itemsize), np.dtype(np.uint8)),
            "objects": ((OBJECTS, OBJECT.itemsize), np.dtype(np.uint8)),
            "features": ((NUM_FEATURES,), np.dtype(np.float32)),
            "crop": ((CROP * CROP,), np.dtype(np.uint8)),
            "action_mask": ((NUM_ACTIONS,), np.dtype(bool)),
            "rule_action": ((), np.dtype(np.int8)),
        }

    def empty(self, *leading: int) -> Observation:
        """An observation of zeros with the given leading dimensions."""
        return Observation(
            *(np.zeros(leading + shape, dtype) for shape, dtype in self.fields().values())
        )


def instances_of(observation: Observation) -> np.ndarray:
    """The rules that apply: INSTANCE [..., INSTANCES], a view; those of higher priority first, and
    of one rule those about nearer objects. Beyond the last one `rule` is NO_RULE."""
    return observation.instances.view(INSTANCE)[..., 0]


def objects_of(observation: Observation) -> np.ndarray:
    """The objects that instances are about, in the order of these, then the other monsters,
    nearest first: OBJECT [..., OBJECTS], a view. Beyond the last one `kind` is NOTHING."""
    return observation.objects.view(OBJECT)[..., 0]
