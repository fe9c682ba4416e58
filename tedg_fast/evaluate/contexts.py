"""Are the experts used according to their names? What the leading expert tells about the state.

Mutual information between the expert with the largest weight and what is going on, beside that of
a control in which the two are shifted against each other: both series stay as they are, with all
their persistence from one decision to the next, and only their coincidence is broken. (Shuffling
single decisions would make any two slow series look related.)
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tedg_fast.hypergraph import expert_name
from tedg_fast.nethack.facts.features import HP_SHARE, closeness_column
from tedg_fast.nethack.facts.observation import Observation, objects_of
from tedg_fast.nethack.facts.vocabulary import vocabulary

CONTEXTS = ("HP low", "monster adjacent", "unexplored nearby")
"""HP below two fifths; a monster on a neighbouring square; unseen ground at most four steps
away."""
LOW_HP, NEAR = 0.4, 4
ALL = "all of them together"
SHUFFLES = 200


@dataclass(frozen=True)
class Relation:
    """How the leading expert relates to one context, over all decisions taken.

    ``share`` of the decisions in which the context holds (None for the combination of all);
    ``information`` in nats; its ``control_mean`` and ``control_95`` (95th percentile) over
    ``SHUFFLES`` shifts.
    """

    share: float | None
    information: float
    control_mean: float
    control_95: float


def expert_use(leading: np.ndarray, usage: np.ndarray, contexts: np.ndarray) -> dict[str, Any]:
    """What the experts were used for, as plain values: in S decisions ``leading`` [S], the expert
    of the largest α; ``usage`` [K], mean α; ``contexts`` bool [S, len(CONTEXTS)] as ``contexts_of``
    gives them, [S, 0] where they are not known.

    ``decisions``; ``usage`` and ``leading`` (share of decisions led) by expert; ``contexts``: name
    → ``Relation``'s fields, empty where contexts are not known.
    """
    count = len(usage)
    names = [expert_name(k) for k in range(count)]
    led = np.bincount(leading, minlength=count) / len(leading)
    found = dict(zip(CONTEXTS, contexts.T)) if contexts.shape[1] else {}
    return {
        "decisions": len(leading),
        "usage": dict(zip(names, usage.tolist())),
        "leading": dict(zip(names, led.tolist())),
        "contexts": {
            name: asdict(relation) for name, relation in relations(leading, found, count).items()
        },
    }


def contexts_of(observation: Observation) -> np.ndarray:
    """Which contexts an observation [B, ...] is in: bool [B, len(CONTEXTS)].

    V3's observations show no objects, so nothing is known of their contexts: bool [B, 0].
    """
    if observation.objects.shape[1] == 0:
        return np.zeros((len(observation.objects), 0), bool)
    monster = vocabulary().kind["monster"]
    objects = objects_of(observation)
    adjacent = objects["facts"][..., monster.attribute["adjacent"].number] != 0
    return np.stack(
        (
            observation.features[:, HP_SHARE] < LOW_HP,
            ((objects["kind"] == monster.number) & adjacent).any(1),
            observation.features[:, closeness_column("frontier")] >= 1 / (1 + NEAR),
        ),
        axis=1,
    )


def relations(
    leading: np.ndarray, holding: dict[str, np.ndarray], num_experts: int
) -> dict[str, Relation]:
    """``leading`` [S] in 0 … num_experts − 1 against each context bool [S], and against all of
    them together. The control's shifts are the same in every call with S steps."""
    if not holding:
        return {}
    code = np.zeros(len(leading), np.int64)
    for place, holds in enumerate(holding.values()):
        code |= holds.astype(np.int64) << place
    codes = 1 << len(holding)

    def informations(shift: int) -> list[float]:
        """Of each context, then of all together, with the experts moved ``shift`` steps on."""
        pairs = np.roll(leading, shift) * np.int64(codes) + code
        counts = np.bincount(pairs, minlength=num_experts * codes).reshape(num_experts, codes)
        each = []
        for place in range(len(holding)):
            set_ = (np.arange(codes) >> place & 1).astype(bool)
            each.append(np.stack([counts[:, ~set_].sum(1), counts[:, set_].sum(1)], 1))
        return [mutual_information(table) for table in [*each, counts]]

    rng = np.random.default_rng(0)
    shifts = rng.integers(1, max(2, len(leading)), SHUFFLES)
    control = np.array([informations(int(shift)) for shift in shifts])
    shares = [float(holds.mean()) for holds in holding.values()]
    columns = zip(
        [*holding, ALL], [*shares, None], informations(0), control.mean(0).tolist(),
        np.percentile(control, 95, axis=0).tolist(),
    )  # fmt: skip
    return {name: Relation(*rest) for name, *rest in columns}


def mutual_information(counts: np.ndarray) -> float:
    """Of two variables counted together, int [X, Y], in nats: Σ p(x,y) ln(p(x,y) / p(x) p(y))."""
    joint = counts / counts.sum()
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / product[seen])).sum())
