"""V3's inputs, against a plain transcription of their description, for any bytes."""

import numpy as np
import pytest
from nle import nethack
from v3_files import small_hypergraph

from tedg_fast.legacy import LegacyError, Observer, V3Grounder
from tedg_fast.nethack.facts.observation import RawObservation


@pytest.fixture(scope="module")
def hypergraph(tmp_path_factory):
    return small_hypergraph(tmp_path_factory.mktemp("v3") / "hypergraph")


def plain_atoms(glyphs, blstats):
    """Counts of the glyph kinds, pre atoms and scene atoms of one observation."""
    x, y = int(blstats[0]), int(blstats[1])
    hp, hpmax, depth, gold, hunger = (int(blstats[i]) for i in (10, 11, 12, 13, 21))
    near = [
        int(glyphs[row, column])
        for row in range(y - 1, y + 2)
        for column in range(x - 1, x + 2)
        if 0 <= row < 21 and 0 <= column < 79
    ]
    monsters = sum(0 < g < 400 for g in near)
    walls = sum(2359 <= g <= 2362 for g in near)
    doors = sum(2363 <= g <= 2365 for g in near)
    items = sum(400 < g < 800 for g in near)
    floor = sum(g == 2358 for g in near)
    pre = ["player_alive"] if hp > 0 else []
    if hpmax > 0:
        q = hp / hpmax
        pre += ["hp_full"] if q >= 0.8 else ["hp_medium"] if q >= 0.5 else []
        pre += ["hp_low"] if q < 0.3 else []
    pre += ["has_gold"] if gold > 0 else []
    pre += ["hunger_satiated"] if hunger == 0 else ["hunger_hungry"] if hunger > 500 else []
    scene = [f"dlvl_{min(depth, 10)}"] if depth > 0 else []
    scene += ["monsters_nearby"] if monsters else []
    scene += ["many_monsters"] if monsters >= 3 else []
    scene += ["in_corridor"] if walls >= 6 else ["in_room"] if walls <= 2 else []
    scene += ["door_nearby"] if doors else []
    scene += ["items_nearby"] if items else []
    return (monsters, walls, doors, items, floor), pre, scene


def plain_block(atoms, rules, full, topics, distinct):
    vocabulary = list(dict.fromkeys(label for rule in rules for label in rule))
    places = np.zeros(10)
    for i, atom in enumerate(atoms[:10]):
        if atom in vocabulary:
            places[vocabulary.index(atom) % 10] += 1 / (i + 1)
    if places.any():
        places /= np.linalg.norm(places)
    if not atoms:
        return [0.0] * (11 + distinct + len(topics))
    rest = [len(atoms) / full] + [len(set(atoms)) / len(atoms)] * distinct
    rest += [sum(any(w in a for w in words) for a in atoms) / len(atoms) for words in topics]
    return [*places, *rest]


def plain_features(hypergraph, glyphs, blstats, step):
    counts, pre, scene = plain_atoms(glyphs, blstats)
    monsters, walls, doors, items, _ = counts
    hp, hpmax, depth, gold, hunger = (int(blstats[i]) for i in (10, 11, 12, 13, 21))
    belief = [1, hp > 0, 1, hp / max(hpmax, 1), hunger == 0, gold == 0]
    belief += [min(depth / 10, 1), min(gold / 1000, 1), min(hunger / 1500, 1), min(step / 1000, 1)]
    belief += [count / 9 for count in counts]
    belief += [monsters > 0, items > 0, doors > 0, walls >= 6, walls <= 2]
    features = np.zeros(115)
    features[:20] = belief
    topics = (["hp"], ["hunger"], ["power"])
    features[50:65] = plain_block(pre, hypergraph.pre_nodes, 30, topics, True)
    topics = (["dlvl"], ["shop", "altar"], ["monster"], ["ac_poor"])
    features[65:80] = plain_block(scene, hypergraph.scene_atoms, 40, topics, False)
    scores = [
        sum(0.35 * len(set(atoms) & set(rule)) / max(len(atoms), 1) for atoms, rule in pairs)
        for pairs in (
            ((pre, pre_rule), (scene, scene_rule))
            for pre_rule, scene_rule in zip(hypergraph.pre_nodes, hypergraph.scene_atoms)
        )
    ]
    features[98] = np.mean(sorted(scores)[-8:])
    features[99] = 1
    return features, pre, scene


def likely_games(rng, number):
    """Observations in which every atom occurs, also at the map's edges and past thresholds."""
    kinds = np.array([0, 1, 399, 400, 401, 799, 800, 2357, 2358, 2359, 2362, 2363, 2365, 2366])
    glyphs = rng.choice(kinds, (number, 21, 79)).astype(np.int16)
    walled = rng.random(number) < 0.3
    glyphs[walled] = 2360
    blstats = np.zeros((number, 27), np.int64)
    blstats[:, 0], blstats[:, 1] = rng.integers(-1, 80, number), rng.integers(-1, 22, number)
    blstats[:, 10], blstats[:, 11] = rng.integers(-1, 11, number), rng.integers(0, 11, number)
    blstats[:, 12], blstats[:, 13] = rng.integers(0, 13, number), rng.integers(0, 3, number) * 700
    blstats[:, 21] = rng.choice([0, 1, 500, 501, 1600], number)
    return glyphs, blstats, rng.integers(0, 2001, number)


def random_bytes(rng, number):
    return (
        rng.integers(-(2**15), 2**15, (number, 21, 79)).astype(np.int16),
        rng.integers(-(2**63), 2**63 - 1, (number, 27)),
        rng.integers(-(2**63), 2**63 - 1, number),
    )


@pytest.mark.parametrize("make", [likely_games, random_bytes])
def test_same_as_the_plain_transcription(hypergraph, make):
    glyphs, blstats, step = make(np.random.default_rng(0), 400)
    observer = Observer(hypergraph)
    features, active = observer(glyphs, blstats, step)
    atoms = observer.atoms(glyphs, blstats)
    assert np.isfinite(features).all()
    seen = set()
    for row in range(len(step)):
        wanted, pre, scene = plain_features(hypergraph, glyphs[row], blstats[row], int(step[row]))
        assert atoms.names(row) == (pre, scene)
        np.testing.assert_allclose(features[row], wanted, rtol=1e-6, atol=1e-6)
        labels = {hypergraph.labels[i] for i in np.flatnonzero(active[row])}
        assert labels == {a for a in (*pre, *scene) if a in hypergraph.labels}
        seen.update(pre, scene)
    if make is likely_games:
        assert len(seen) == 7 + 16


def test_batch_sizes_and_dtypes(hypergraph):
    observer = Observer(hypergraph)
    assert observer(*likely_games(np.random.default_rng(1), 0)).features.shape == (0, 115)
    glyphs, blstats, step = likely_games(np.random.default_rng(1), 5)
    wanted = observer(glyphs, blstats, step)
    other = observer(glyphs.astype(np.int64), blstats.astype(np.int32), step.astype(np.uint16))
    np.testing.assert_array_equal(wanted.features, other.features)
    strided = observer(np.asfortranarray(glyphs), np.asfortranarray(blstats), step)
    np.testing.assert_array_equal(wanted.features, strided.features)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"glyphs": np.zeros((2, 79, 21), np.int16)}, "glyphs has shape"),
        ({"glyphs": np.zeros((2, 21, 79))}, "expected an array of integers"),
        ({"blstats": np.zeros((2, 26), np.int64)}, "blstats has shape"),
        ({"blstats": 3}, "blstats is of type int"),
        ({"step": np.zeros((2, 1), np.int64)}, "step has shape"),
        ({"step": [1, 2]}, "step is of type list"),
    ],
)
def test_other_shapes_and_types_are_refused(hypergraph, change, words):
    inputs = dict(zip(("glyphs", "blstats", "step"), likely_games(np.random.default_rng(2), 2)))
    with pytest.raises(LegacyError, match=words):
        Observer(hypergraph)(**inputs | change)


def test_grounder_counts_the_steps_of_each_game(hypergraph):
    rng = np.random.default_rng(3)
    grounder, observer = V3Grounder(hypergraph, 3), Observer(hypergraph)
    step = np.zeros(3, np.int64)
    for turn in range(40):
        if turn == 20:
            grounder.reset(1)
            step[1] = 0
        games = np.flatnonzero(rng.random(3) < 0.6) if turn % 2 else np.arange(3)
        glyphs, blstats, _ = likely_games(rng, len(games))
        empty = (np.zeros((len(games), 256), np.uint8), np.zeros((len(games), 3), np.int32))
        out = grounder.spec.empty(len(games))
        raw = RawObservation(glyphs, blstats, *empty)
        grounder(raw, np.full(len(games), -1), out, games if turn % 2 else None)
        features, active = observer(glyphs, blstats, step[games])
        np.testing.assert_array_equal(out.features, features)
        unpacked = np.unpackbits(out.active_bits, axis=1, count=hypergraph.num_nodes)
        np.testing.assert_array_equal(unpacked, active)
        assert out.action_mask[..., :-1].all() and not out.action_mask[..., -1].any()
        assert not out.crop.any()
        assert out.instances.shape[1:] == (0, 8) and out.objects.shape[1:] == (0, 52)
        step[games] += 1
    assert step.max() > 25


def test_blstats_are_where_v3_read_them():
    names = ("X", "Y", "HP", "HPMAX", "DEPTH", "GOLD", "HUNGER")
    assert [getattr(nethack, f"NLE_BL_{n}") for n in names] == [0, 1, 10, 11, 12, 13, 21]
