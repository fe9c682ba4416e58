"""One game, on real NLE."""

import ctypes
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from nle import nethack
from nle.env.tasks import TASK_ACTIONS, NetHackScore

from tedg_fast.nethack.actions import ACTIONS, num_actions
from tedg_fast.nethack.facts.observation import OBSERVATION_KEYS
from tedg_fast.nethack.games.game import Game, empty_observations

CHARACTER = "mon-hum-neu-mal"


def make_observation():
    return empty_observations(1)[0]


@pytest.fixture
def observation():
    return make_observation()


@pytest.fixture
def game(observation):
    game = Game(observation, max_steps=2000, character=CHARACTER)
    yield game
    game.close()


def play_to_the_end(game, rng):
    while not (game.terminated or game.truncated):
        game.step(int(rng.integers(23)))


@pytest.mark.parametrize("prayer", [False, True])
def test_plays_and_pays_exactly_as_nethackscore(game, observation, prayer):
    env = NetHackScore(
        observation_keys=OBSERVATION_KEYS,
        actions=(*TASK_ACTIONS, nethack.Command.PRAY) if prayer else TASK_ACTIONS,
        character=CHARACTER,
        max_episode_steps=10**9,
        fix_moon_phase=True,
    )
    rng = np.random.default_rng(0)
    deaths = 0
    for seed in range(8):
        env.seed(seed, seed + 1, False)
        theirs, _ = env.reset()
        game.start(seed, seed + 1)
        total, score = 0.0, 0
        while not (game.terminated or game.truncated):
            for key in OBSERVATION_KEYS:
                assert np.array_equal(getattr(observation, key), theirs[key]), key
            score = int(theirs["blstats"][nethack.NLE_BL_SCORE])
            action = int(rng.integers(num_actions(prayer)))
            theirs, reward, terminated, _, _ = env.step(action)
            assert game.step(action) == reward
            assert game.terminated == terminated
            total += reward
        assert game.reward == total
        if game.terminated:
            deaths += 1
            assert game.ending == "death"
            assert game.true_score == score
            assert game.last_observation_score == 0
            assert game.observation_digest() == bytes(16)
    env.close()
    assert deaths >= 2


def test_the_killer_is_the_one_in_the_games_own_record(observation):
    game = Game(observation, max_steps=10**6, character=CHARACTER)
    killers = []
    for seed in range(6):
        game.start(seed, seed)
        play_to_the_end(game, np.random.default_rng(seed))
        assert game.terminated
        record = Path(game._nethack._vardir, "xlogfile").read_text().splitlines()
        death = dict(entry.split("=", 1) for entry in record[-1].split("\t"))["death"]
        killers.append(game.killer)
        told = re.match(r"\w+ (?:by|of|on|in) (?:an? |the )?([^,]+)", death)
        assert game.killer == told[1]
    assert len(record) == len(killers)
    assert len(set(killers)) > 1
    game.close()


def test_truncation_leaves_a_valid_last_observation(observation):
    game = Game(observation, max_steps=20, character=CHARACTER)
    game.start(5, 6)
    play_to_the_end(game, np.random.default_rng(1))
    assert (game.terminated, game.truncated, game.length) == (False, True, 20)
    assert game.ending == "truncated"
    assert game.killer == ""
    assert game.last_observation_score == game.true_score
    assert game.true_score == observation.blstats[nethack.NLE_BL_SCORE]
    assert observation.blstats[nethack.NLE_BL_HP] > 0
    assert game.depth == 1
    game.start(5, 6)
    assert (game.truncated, game.length, game.reward) == (False, 0, 0.0)
    game.close()


def test_a_game_is_a_function_of_seeds_and_actions_whatever_was_played_before(game):
    def digests(seeds):
        game.start(*seeds)
        rng = np.random.default_rng(2)
        result = [game.observation_digest()]
        for _ in range(100):
            game.step(int(rng.integers(23)))
            result.append(game.observation_digest())
        return result

    first = digests((1, 2))
    other = digests((3, 4))
    assert other[0] != first[0]
    assert digests((1, 2)) == first


def test_the_wall_clock_is_kept_out(game):
    libc = ctypes.CDLL(None)
    libc.dlopen.restype = libc.dlsym.restype = ctypes.c_void_p
    libc.dlsym.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    libc.dlclose.argtypes = (ctypes.c_void_p,)
    for seed in (1, 2):
        game.start(seed, seed)
        path = os.fsencode(game._nethack.dlpath)
        library = libc.dlopen(path, os.RTLD_LAZY | os.RTLD_NOLOAD)
        address = libc.dlsym(library, b"ubirthday")
        assert ctypes.c_long.from_address(address).value == 0
        libc.dlclose(library)


def test_games_share_the_code_of_one_library(game):
    games = [Game(make_observation(), max_steps=10, character=CHARACTER) for _ in range(2)]
    for seed, each in enumerate([*games, game]):
        each.start(seed, seed)
    with open("/proc/self/maps") as file:
        executable = [line for line in file if " r-xp " in line]
    for each in games:
        each.close()
    assert sum("libnethack.so" in line for line in executable) >= 3
    assert not any("memfd:nle.so" in line for line in executable)


def test_writes_nothing_outside_its_temporary_folder(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    game = Game(make_observation(), max_steps=3000, character=CHARACTER)
    rng = np.random.default_rng(3)
    for seed in range(2):
        game.start(seed, seed)
        play_to_the_end(game, rng)
    game.close()
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("gone", ["folder", "file"])
def test_a_cleaned_temporary_folder_costs_the_running_game_at_most(
    observation, tmp_path, monkeypatch, gone
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "games"))
    (tmp_path / "games").mkdir()
    game = Game(observation, max_steps=20, character=CHARACTER)
    game.start(1, 2)
    first = game.observation_digest()
    (folder,) = (tmp_path / "games").iterdir()
    if gone == "folder":
        shutil.rmtree(tmp_path / "games")
    else:
        (folder / "nhdat").unlink()
    while not (game.terminated or game.truncated):
        game.step(ACTIONS.index("search"))
    game.start(1, 2)
    assert game.observation_digest() == first
    play_to_the_end(game, np.random.default_rng(0))
    game.close()
    assert not any((tmp_path / "games").iterdir())


def test_a_game_begins_although_its_files_are_taken_at_that_moment(
    observation, tmp_path, monkeypatch
):
    """After the look whether they are there, and before NetHack reads them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    game = Game(observation, max_steps=20, character=CHARACTER)
    game.start(1, 2)
    first = game.observation_digest()
    look = game._files_are_there

    def take_them_once():
        there = look()
        if not taken:
            taken.append(shutil.rmtree(game._nethack._vardir))
        return there

    taken = []
    monkeypatch.setattr(game, "_files_are_there", take_them_once)
    game.start(1, 2)
    assert taken and game.observation_digest() == first
    game.close()


def test_a_game_begins_although_its_files_are_taken_while_they_are_made(
    observation, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "files"))
    link, taken = os.symlink, []

    def take_all_once(*arguments, **keywords):
        if not taken:
            taken.append(shutil.rmtree(tmp_path / "files"))
        return link(*arguments, **keywords)

    monkeypatch.setattr(os, "symlink", take_all_once)
    game = Game(observation, max_steps=20, character=CHARACTER)
    game.start(1, 2)
    assert taken
    game.close()


def test_resets_leak_neither_files_nor_memory(game):
    def files_and_kilobytes():
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE") // 1024

    def play(games):
        for seed in range(games):
            game.start(seed, seed)
            for _ in range(10):
                game.step(int(rng.integers(23)))

    rng = np.random.default_rng(4)
    play(20)
    files, kilobytes = files_and_kilobytes()
    play(200)
    files_after, kilobytes_after = files_and_kilobytes()
    assert files_after == files
    assert kilobytes_after - kilobytes < 2000
