"""A thousand corrupted checkpoints of a real run: each one clear line, and none runs any code."""

import copy
import hashlib
import io
import os
import pickle
import random
import warnings
import zipfile

import pytest
import torch
from command import SHORT, tedg_train
from exact import differences

from tedg_fast.runs import checkpoint
from tedg_fast.runs.checkpoint import CheckpointError
from tedg_fast.runs.config import from_dict
from tedg_fast.runs.model import load_rules
from tedg_fast.runs.source import Source
from tedg_fast.train.display import Display
from tedg_fast.train.resume import check_takeover
from tedg_fast.train.trainer import Trainer

WRONG = [None, -1, 2.5, "text", [], ["x"], {}, {"a": 1}, (1, 2, 3), True, torch.zeros(2, 3, 4),
         torch.zeros(3).to_sparse(), torch.empty(2, device="meta"), b"bytes"]  # fmt: skip

NAMES_ARE_FREE = [("log", "updates"), ("optimizer", "state")]
NULLABLE = ["parent", "hypergraph", "resume", "keep_checkpoints"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The final checkpoint of a short run → its path."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        tedg_train(patch, "--results", results, "--exp-name", "whole", "--episodes", 8, *SHORT)
    return results / "whole" / "checkpoints" / "model_final.pth"


@pytest.fixture(scope="module")
def take_over(whole):
    """Everything that ``tedg-train --resume`` does with a file before the first game."""
    config = from_dict(checkpoint.load(whole)["config"])
    rules = load_rules(config.hypergraph)
    trainer = Trainer(config, rules, Display(config.episodes))
    kept = checkpoint.load(whole)["hypergraph"]

    def take_over(path):
        source = Source(path, checkpoint.load(path), [])
        if source.state["hypergraph"] != kept:
            source.rules(None)
        check_takeover(source, from_dict(source.state["config"]))
        trainer.resume(source)

    take_over(whole)
    return take_over


def refusal(take_over, path):
    """The one line that says what is wrong with the file."""
    with pytest.raises(CheckpointError) as refused:
        take_over(path)
    line = str(refused.value)
    assert "\n" not in line
    assert str(path) in line
    assert len(line) < 600
    return line


def seal(archive):
    """The bytes of a file whose checksum is right."""
    return archive + b"TEDG-CHECKPOINT\n" + hashlib.sha256(archive).digest()


def test_three_hundred_cut_short(whole, take_over, tmp_path):
    content, path = whole.read_bytes(), tmp_path / "model_00001.pth"
    chance = random.Random(1)
    for _ in range(300):
        path.write_bytes(content[: chance.randrange(len(content))])
        assert "cut short" in refusal(take_over, path)


def test_three_hundred_with_a_flipped_bit(whole, take_over, tmp_path):
    content, path = bytearray(whole.read_bytes()), tmp_path / "model_00001.pth"
    chance = random.Random(2)
    for _ in range(300):
        place, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
        content[place] ^= bit
        path.write_bytes(content)
        refusal(take_over, path)
        content[place] ^= bit


def test_a_hundred_with_an_entry_of_the_wrong_kind(whole, take_over, tmp_path):
    """The checksum is right, and so is all but one entry, which is missing, doubled or mistyped."""
    state, path = checkpoint.load(whole), tmp_path / "model_00001.pth"
    places = list(entries(state))
    chance = random.Random(3)
    corrupted = 0
    while corrupted < 100:
        spoilt = copy.deepcopy(state)
        place = chance.choice(places)
        if not spoil(spoilt, place, chance):
            continue
        corrupted += 1
        buffer = io.BytesIO()
        torch.save(spoilt, buffer)
        path.write_bytes(seal(buffer.getvalue()))
        try:
            refusal(take_over, path)
        except BaseException:
            print("spoilt:", place)
            raise
    take_over(whole)


def entries(tree, place=()):
    """Paths to every entry of a nested state, a few of each long list."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:3])
    for key, value in items:
        yield (*place, key)
        if isinstance(value, dict | list):
            yield from entries(value, (*place, key))


def spoil(state, place, chance):
    """Corrupt the entry at ``place``; False where what comes of it may stand in a checkpoint."""
    parent = state
    for key in place[:-1]:
        parent = parent[key]
    key, value = place[-1], parent[place[-1]]
    if chance.random() < 0.3:
        names_are_free = place[:-1] in NAMES_ARE_FREE or "decided" in place[:-1]
        if isinstance(parent, list) or names_are_free:
            return False
        del parent[key]
        if chance.random() < 0.5:
            parent[f"{key}_"] = value
        return True
    parent[key] = wrong = chance.choice(WRONG)
    if isinstance(value, dict):
        return wrong != {}
    if place[:2] == ("log", "updates") and len(place) == 4:
        return not isinstance(wrong, int | float | str) or isinstance(wrong, bool)
    if key in NULLABLE:
        return not isinstance(wrong, int | str | None)
    return isinstance(value, torch.Tensor) or type(wrong) is not type(value)


class Evil:
    """Unpickled without care, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_hundred_with_code_in_them(whole, take_over, tmp_path):
    state, path = checkpoint.load(whole), tmp_path / "model_00001.pth"
    trap = tmp_path / "executed"
    places = list(entries(state))
    chance = random.Random(4)
    for i in range(100):
        spoilt = copy.deepcopy(state)
        parent = spoilt
        place = chance.choice(places)
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] = Evil(str(trap))
        buffer = io.BytesIO()
        if i % 4 == 0:
            pickle.dump(spoilt if i % 8 else Evil(str(trap)), buffer)
        else:
            torch.save(spoilt, buffer, _use_new_zipfile_serialization=i % 4 != 1)
        archive = buffer.getvalue()
        path.write_bytes(archive if i % 4 == 2 else seal(archive))
        with warnings.catch_warnings(action="error"):
            refusal(take_over, path)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Evil(str(trap))))
    assert trap.exists(), "the trap works"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive at all", b"\x80\x02."])
def test_nonsense_with_the_right_checksum(take_over, tmp_path, content):
    path = tmp_path / "model_00001.pth"
    path.write_bytes(seal(content))
    refusal(take_over, path)


def test_archives_of_other_things(take_over, tmp_path):
    path = tmp_path / "model_00001.pth"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    path.write_bytes(seal(buffer.getvalue()))
    refusal(take_over, path)
    versions = [{"version": version} for version in (checkpoint.VERSION - 1, "1", [1] * 99)]
    for value in ({}, [], 3, torch.zeros(3), *versions):
        buffer = io.BytesIO()
        torch.save(value, buffer)
        path.write_bytes(seal(buffer.getvalue()))
        refusal(take_over, path)


def test_what_is_saved_again_is_the_same(whole, tmp_path):
    state = checkpoint.load(whole)
    checkpoint.save(tmp_path / "again.pth", {k: v for k, v in state.items() if k != "version"})
    assert not differences(checkpoint.load(tmp_path / "again.pth"), state)
