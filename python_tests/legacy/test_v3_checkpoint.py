"""V3's checkpoints: whole ones load exactly, all others are refused in one line, none runs code."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from exact import differences
from v3_files import checkpoint_content, small_hypergraph

from tedg_fast.legacy import LegacyError, V3Checkpoint, V3Policy, is_v3_checkpoint


@pytest.fixture(scope="module")
def hypergraph(tmp_path_factory):
    return small_hypergraph(tmp_path_factory.mktemp("v3") / "hypergraph")


@pytest.fixture(scope="module")
def policy(hypergraph):
    torch.manual_seed(0)
    return V3Policy(hypergraph, 4)


@pytest.fixture(scope="module")
def content(policy):
    return checkpoint_content(policy)


def small_content():
    """As little as passes for a checkpoint while it is only read."""
    weight = torch.randn(3, 2)
    state = {"step": torch.tensor(5.0), "exp_avg": weight / 2, "exp_avg_sq": weight**2}
    return {
        "policy_net": {"gat._edge_index": torch.zeros(2, 1), "experts.0.weight": weight},
        "optimizer": {"state": {0: state}, "param_groups": [{"lr": np.float64(0.25)}]},
        "episode": 99,
        "score": np.int64(7),
    }


def save(path, content):
    torch.save(content, path)
    return path


def refused(path, words=""):
    with pytest.raises(LegacyError, match=words) as error:
        V3Checkpoint.load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_weights_and_adam_are_taken_over(tmp_path, hypergraph, policy, content):
    path = save(tmp_path / "model_00100.pth", content)
    assert is_v3_checkpoint(path)
    checkpoint = V3Checkpoint.load(path)
    assert checkpoint.completed == 100 and checkpoint.num_experts == 4
    loaded = V3Policy.of(checkpoint, hypergraph)
    assert not differences(dict(loaded.state_dict()), dict(policy.state_dict()))

    ours = torch.optim.Adam(loaded.parameters(), lr=0.5, eps=1e-5, fused=True)
    ours.load_state_dict(checkpoint.adam_state_dict(loaded, ours))
    assert ours.param_groups[0]["lr"] == 0.5 and ours.param_groups[0]["eps"] == 1e-5
    theirs = content["optimizer"]["state"]
    assert list(theirs) == list(range(20, 88))
    assert not differences(ours.state_dict()["state"], theirs)


def test_an_adam_step_goes_on_as_v3s_would(tmp_path, hypergraph, content):
    checkpoint = V3Checkpoint.load(save(tmp_path / "model.pth", content))
    stepped = []
    for take_over in (True, False):
        policy = V3Policy.of(checkpoint, hypergraph)
        optimizer = torch.optim.Adam(policy.parameters(), lr=1e-4)
        state = content["optimizer"]
        if take_over:
            state = checkpoint.adam_state_dict(policy, optimizer)
        optimizer.load_state_dict(state)
        torch.manual_seed(1)
        for parameter in policy.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        stepped.append(dict(policy.state_dict()))
    assert not differences(*stepped)


def test_best_model_variant_and_other_expert_counts(tmp_path, hypergraph):
    policy = V3Policy(hypergraph, 6)
    content = checkpoint_content(policy) | {"best_reward": np.float64(1), "best_score": np.int64(3)}
    path = save(tmp_path / "best_model.pth", content)
    assert len(V3Policy.of(V3Checkpoint.load(path), hypergraph).experts) == 6


SCALARS = "float64 float32 float16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool"


@pytest.mark.parametrize("name", SCALARS.split())
@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_every_numpy_scalar_has_its_value(tmp_path, name, module):
    path = save(tmp_path / "model.pth", small_content() | {"episode": np.dtype(name).type(99)})
    swap_pickle(path, lambda data: data.replace(b"numpy._core.multiarray", module.encode()))
    if name.startswith("float") or name == "bool":
        refused(path, "episode is")
    else:
        assert V3Checkpoint.load(path).completed == 100


def test_a_compressed_part_is_refused(tmp_path):
    """It could unfold to any size."""
    path = save(tmp_path / "model.pth", small_content())
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    refused(path, "is damaged")


def swap_pickle(path, change):
    """Replace the pickle in a torch file; every checksum stays right."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)


class Call:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_code_in_a_pickle_is_not_executed(tmp_path):
    mark = tmp_path / "executed"
    calls = {
        "posix.system": Call(os.system, f"touch {mark}"),
        "builtins.eval": Call(eval, f"open({str(mark)!r}, 'w')"),
        "builtins.exec": Call(exec, f"open({str(mark)!r}, 'w')"),
        "io.open": Call(io.open, str(mark), "w"),
        "builtins.getattr": Call(getattr, Call(__import__, "os"), "system"),
        "numpy._core.multiarray._reconstruct": np.zeros(2),
        "torch.serialization.load": Call(torch.load, str(mark)),
    }
    for name, call in calls.items():
        for key in ("policy_net", "score"):
            path = save(tmp_path / "model.pth", small_content() | {key: call})
            refused(path, "nothing in it was executed")
        raw = pickle.dumps(call, 2)
        swap_pickle(path, lambda _, raw=raw: raw)
        refused(path, "nothing in it was executed")
        assert not mark.exists(), name


def test_numpy_types_beyond_scalars_are_refused(tmp_path):
    scalar = np._core.multiarray.scalar
    for call in (
        Call(np.dtype, "O"),
        Call(np.dtype, "V1000000000"),
        Call(np.dtype, [("a", "f8")]),
        Call(scalar, np.dtype("M8[s]"), b"12345678"),
        Call(scalar, np.dtype("f8"), b"1234"),
        Call(scalar, Call(dict), b"1234"),
    ):
        refused(save(tmp_path / "model.pth", small_content() | {"score": call}), "nothing in it")
    assert np.dtype("f8").isnative and np.dtype("i8").isnative


def test_a_thousand_damaged_files(tmp_path):
    """Bits flipped or the end cut off anywhere: refused, or what is read has not changed."""
    torch.manual_seed(0)
    whole = save(tmp_path / "whole.pth", small_content()).read_bytes()
    wanted = V3Checkpoint.load(tmp_path / "whole.pth")
    rng = np.random.default_rng(0)
    path, unharmed = tmp_path / "model.pth", 0
    for trial in range(1000):
        data = bytearray(whole)
        if trial % 4 == 0:
            del data[rng.integers(len(data)) :]
        else:
            for position in rng.integers(0, len(data), 1 + trial % 3):
                data[position] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            read = V3Checkpoint.load(path)
        except LegacyError as error:
            assert "\n" not in str(error)
            continue
        unharmed += 1
        assert not differences(read.weights, wanted.weights)
        assert not differences(read.adam, wanted.adam) and read.completed == wanted.completed
    assert unharmed < 500, "padding and unused fields of the container make up that much at most"


def test_files_that_are_no_checkpoints(tmp_path):
    refused(tmp_path / "nowhere.pth", "no checkpoint at")
    refused(tmp_path, "cannot be read: Is a directory")
    path = tmp_path / "model.pth"
    for data in (b"", b"PK", b"\x80\x02}.", pickle.dumps({}), os.urandom(100)):
        path.write_bytes(data)
        assert not is_v3_checkpoint(path)
        refused(path, "is no checkpoint")
    assert not is_v3_checkpoint(tmp_path / "nowhere.pth")
    other = {"version": 1, "policy": {}, "resume": "policy_net/model.pth"}
    assert not is_v3_checkpoint(save(path, other))
    refused(path, "it has no 'policy_net'")
    refused(save(path, [1, 2]), "holds a list; expected V3's dict")


def without(mapping, key):
    return {name: value for name, value in mapping.items() if name != key}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("policy_net", None, "policy_net is a NoneType; expected a dict"),
        ("policy_net", {"a": 1}, "is no ordinary tensor under a name"),
        ("policy_net", {"a": torch.zeros(1, device="meta")}, "is no ordinary tensor under a name"),
        ("policy_net", {"a": torch.zeros(1).to_sparse()}, "is no ordinary tensor under a name"),
        ("policy_net", {3: torch.zeros(1)}, "is no ordinary tensor under a name"),
        ("policy_net", {"a": torch.zeros(1)}, "has no experts"),
        ("episode", "99", "episode is a str; expected a int"),
        ("episode", True, "episode is True"),
        ("episode", -2, "episode is -2"),
        ("optimizer", [], "optimizer is a list; expected a dict"),
        ("optimizer", {}, r"optimizer\['state'\] is no dict"),
        ("optimizer", {"state": {5: {}}}, "is of no parameter; there are 1"),
        ("optimizer", {"state": {"0": {}}}, "is of no parameter"),
        ("optimizer", {"state": {0: {"step": 1}}}, "no dict of step, exp_avg and exp_avg_sq"),
    ],
)
def test_entries_of_the_wrong_kind(tmp_path, key, value, words):
    refused(save(tmp_path / "model.pth", small_content() | {key: value}), words)
    refused(save(tmp_path / "model.pth", without(small_content(), key)), f"it has no '{key}'")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("step", 5, "is no ordinary tensor"),
        ("step", torch.ones(1), r"is torch.float32 \[1\]; expected torch.float32 \[\]"),
        ("exp_avg", torch.zeros(2, 3), r"expected torch.float32 \[3, 2\]"),
        ("exp_avg", torch.zeros(3, 2).double(), "is torch.float64"),
        ("exp_avg", torch.zeros(3, 2).to_sparse(), "is no ordinary tensor"),
        ("exp_avg_sq", torch.full((3, 2), torch.nan), "not finite"),
    ],
)
def test_wrong_optimizer_state(tmp_path, key, value, words):
    content = small_content()
    content["optimizer"]["state"][0][key] = value
    refused(save(tmp_path / "model.pth", content), words)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("critic.6.bias", None, "has no critic.6.bias"),
        ("critic.7.bias", torch.zeros(1), "has an unknown tensor 'critic.7.bias'"),
        ("critic.6.bias", torch.zeros(2), r"\[2\]; expected torch.float32 \[1\]"),
        ("critic.6.bias", torch.zeros(1).half(), "is torch.float16"),
        ("critic.6.bias", torch.full((1,), torch.inf), "not finite"),
        ("gat._edge_attr", torch.zeros(9, dtype=torch.int64), "is not that of the hypergraph"),
        ("gat._edge_index", torch.zeros(2, 8, dtype=torch.int64), "is not that of the hypergraph"),
        ("gat._edge_index", torch.zeros(2, 9), r"is torch.float32 \[2, 9\]; expected torch.int64"),
    ],
)
def test_weights_that_do_not_fit(tmp_path, hypergraph, content, name, value, words):
    weights = without(content["policy_net"], name)
    if value is not None:
        weights[name] = value
    content = content | {"policy_net": weights, "optimizer": {"state": {}}}
    checkpoint = V3Checkpoint.load(save(tmp_path / "model.pth", content))
    with pytest.raises(LegacyError, match=words) as error:
        V3Policy.of(checkpoint, hypergraph)
    assert "\n" not in str(error.value) and str(checkpoint.path) in str(error.value)
