"""Reading V3's checkpoints, safely: whatever a file holds, nothing in it is executed."""

import io
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tedg_fast.legacy.errors import LegacyError

_ZIP_START = b"PK\x03\x04"
_WEIGHTS = "policy_net"
# As it is pickled. The pickle stands first in the file, and this key first in V3's dict.
_WEIGHTS_KEY = b"X" + struct.pack("<I", len(_WEIGHTS)) + _WEIGHTS.encode()
_SEARCHED = 1 << 16
_BUFFERS = "gat._"  # V3 saved its graph as buffers of these names; they have no optimizer state
_ADAM_TENSORS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class V3Checkpoint:
    """The content of a V3 checkpoint that training can go on from.

    ``weights``: V3's state dict; ``adam``: state of its optimizer (step, exp_avg, exp_avg_sq) by
    parameter name, missing for parameters that never got a gradient; ``completed``: episodes
    finished, which is the number of the next; ``num_experts``: K.
    """

    path: Path
    weights: dict[str, Tensor]
    adam: dict[str, dict[str, Tensor]]
    completed: int
    num_experts: int

    @classmethod
    def load(cls, path: str | Path) -> "V3Checkpoint":
        """Read the .pth file ``path``.

        Raises LegacyError if it cannot be read, is damaged, holds anything but tensors, plain
        containers, numbers and numpy scalars, or is no V3 checkpoint.
        """
        path = Path(path)
        content = _read(path)
        weights = _entry(path, content, _WEIGHTS, dict)
        for name, tensor in weights.items():
            if not (isinstance(name, str) and _is_ordinary(tensor)):
                raise LegacyError(f"{path}: {_WEIGHTS}[{name!r}] is no ordinary tensor under a name")
        episode = _entry(path, content, "episode", int)
        if isinstance(episode, bool) or episode < -1:
            raise LegacyError(f"{path}: episode is {episode}; expected an index, or -1")
        experts = {match[0] for name in weights if (match := re.match(r"experts\.\d+\.", name))}
        if not experts:
            raise LegacyError(f"{path}: {_WEIGHTS} has no experts, experts.0.… and so on")
        adam = _read_adam(path, _entry(path, content, "optimizer", dict), weights)
        return cls(path, dict(weights), adam, episode + 1, len(experts))

    def load_weights(self, module: nn.Module) -> None:
        """Copy the weights into ``module``, a V3Policy.

        Raises LegacyError naming the first tensor that is missing, unknown, of another shape or
        dtype, not finite, or, for V3's graph, different from the module's.
        """
        own = module.state_dict()
        for name in {**own, **self.weights}:
            if name not in self.weights:
                raise LegacyError(f"{self.path}: {_WEIGHTS} has no {name}")
            if name not in own:
                raise LegacyError(f"{self.path}: {_WEIGHTS} has an unknown tensor {name!r}")
            self._check_weight(name, own[name].cpu())
        module.load_state_dict(self.weights)

    def _check_weight(self, name: str, own: Tensor) -> None:
        value, place = self.weights[name], f"{_WEIGHTS}[{name!r}]"
        of_graph = name.startswith(_BUFFERS)
        if value.shape == own.shape or not of_graph:
            _check_tensor(self.path, place, value, own.shape, own.dtype)
        if of_graph and not (value.shape == own.shape and torch.equal(value, own)):
            raise LegacyError(
                f"{self.path}: {name} is not that of the hypergraph; give the folder of the one "
                "that this checkpoint was trained with"
            )

    def adam_state_dict(self, module: nn.Module, optimizer: torch.optim.Adam) -> dict[str, Any]:
        """A state dict for ``optimizer``: V3's moments, the optimizer's own settings.

        ``optimizer`` must be an Adam over ``module.parameters()``, ``module`` a V3Policy that
        ``load_weights`` accepted. Parameters without a state in the file (in V3 the GAT's) begin
        with none, as in a new optimizer.
        """
        names = [name for name, _ in module.named_parameters()]
        state = {
            number: {key: value.clone() for key, value in self.adam[name].items()}
            for number, name in enumerate(names)
            if name in self.adam
        }
        return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}


def is_v3_checkpoint(path: str | Path) -> bool:
    """Whether the file looks like one of V3's, whole or not; its content is not unpickled."""
    try:
        with open(path, "rb") as file:
            start = file.read(_SEARCHED)
    except OSError:
        return False
    return start.startswith(_ZIP_START) and _WEIGHTS_KEY in start


class _ScalarType:
    """Stands for ``numpy.dtype`` in a pickle: the type of a numpy scalar, and no other.

    The real one may not be let in: an instance is shared by the whole process, and a pickle could
    change it.
    """

    _FORMATS = {
        "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q",
        "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "b1": "?",
    }  # fmt: skip

    def __init__(self, code: str, align: bool = False, copy: bool = True):
        self.format = self._FORMATS[code]
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """``state`` as numpy pickles it: its version, the byte order, nothing of interest."""
        self.order = {"<": "<", ">": ">", "|": "<"}[state[1]]


def _scalar(kind: _ScalarType, data: bytes) -> int | float | bool:
    """Stands for numpy's constructor of scalars."""
    return struct.unpack(kind.order + kind.format, data)[0]


_NUMPY_SCALARS: list[Any] = [
    (_ScalarType, "numpy.dtype"),
    (_scalar, "numpy._core.multiarray.scalar"),
    (_scalar, "numpy.core.multiarray.scalar"),  # written with numpy 1
]


def _read(path: Path) -> Any:
    """The unpickled content of a torch file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise LegacyError(f"no checkpoint at {path}; give one of V3's model_*.pth files") from None
    except OSError as error:
        raise LegacyError(f"{path} cannot be read: {error.strerror}") from None
    if not data.startswith(_ZIP_START):
        raise LegacyError(f"{path} is no checkpoint: it does not begin like a torch file (zip)")
    # What zipfile, the unpickler and torch raise on damaged bytes is not limited to a few types.
    try:
        archive = _verified(data)
    except Exception:
        raise LegacyError(f"{path} is damaged or cut short; take another checkpoint") from None
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            return torch.load(archive, map_location="cpu", weights_only=True)
    except Exception as error:
        refused = re.search(r"GLOBAL (\S+) was not", str(error))
        what = f"a {refused[1]}, which" if refused else "something that"
        raise LegacyError(
            f"{path} holds {what} no V3 checkpoint has, or is damaged; nothing in it was executed"
        ) from None


def _verified(data: bytes) -> io.BytesIO:
    """The torch file ``data`` packed anew from parts whose sizes and checksums are right.

    torch itself looks at neither, and a zip file says some things twice.
    """
    repacked = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as archive,
        zipfile.ZipFile(repacked, "w") as verified,
    ):
        names = set()
        for part in archive.infolist():
            names.add(part.filename)
            # torch compresses nothing, and what is not compressed cannot unfold to any size.
            if part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size:
                raise zipfile.BadZipFile(part.filename)
            content = archive.read(part)
            if len(content) != part.file_size or zlib.crc32(content) != part.CRC:
                raise zipfile.BadZipFile(part.filename)
            verified.writestr(part.filename, content)
        if len(names) != len(archive.infolist()):
            raise zipfile.BadZipFile("two parts of the same name")
    repacked.seek(0)
    return repacked


def _entry(path: Path, content: Any, key: str, kind: type) -> Any:
    if not isinstance(content, dict):
        raise LegacyError(f"{path} holds a {type(content).__name__}; expected V3's dict")
    if key not in content:
        raise LegacyError(f"{path} is no checkpoint of V3: it has no {key!r}")
    if not isinstance(content[key], kind):
        raise LegacyError(
            f"{path}: {key} is a {type(content[key]).__name__}; expected a {kind.__name__}"
        )
    return content[key]


def _read_adam(
    path: Path, optimizer: dict[Any, Any], weights: dict[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """V3's optimizer state by parameter name; it counts parameters in the weights' order."""
    names = [name for name in weights if not name.startswith(_BUFFERS)]
    state = optimizer.get("state")
    if not isinstance(state, dict):
        raise LegacyError(f"{path}: optimizer['state'] is no dict; expected Adam's state dict")
    adam = {}
    for number, entry in state.items():
        place = f"optimizer['state'][{number!r}]"
        if type(number) is not int or not 0 <= number < len(names):
            raise LegacyError(f"{path}: {place} is of no parameter; there are {len(names)}")
        if not isinstance(entry, dict) or not {"step", *_ADAM_TENSORS} <= entry.keys():
            raise LegacyError(f"{path}: {place} is no dict of step, exp_avg and exp_avg_sq")
        name = names[number]
        for key in _ADAM_TENSORS:
            shape = weights[name].shape
            _check_tensor(path, f"{place}[{key!r}]", entry[key], shape, torch.float32)
        _check_tensor(path, f"{place}['step']", entry["step"], torch.Size(), torch.float32)
        adam[name] = {key: entry[key].contiguous() for key in ("step", *_ADAM_TENSORS)}
    return adam


def _is_ordinary(value: Any) -> bool:
    """A dense tensor with data, not one of torch's many other kinds."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_meta or value.is_nested or value.is_quantized)
    )


def _check_tensor(
    path: Path, place: str, value: Any, shape: torch.Size, dtype: torch.dtype
) -> None:
    if not _is_ordinary(value):
        raise LegacyError(f"{path}: {place} is no ordinary tensor")
    if value.shape != shape or value.dtype != dtype:
        raise LegacyError(
            f"{path}: {place} is {value.dtype} {list(value.shape)}; expected {dtype} {list(shape)}"
        )
    if value.is_floating_point() and not value.isfinite().all():
        raise LegacyError(f"{path}: {place} has values that are not finite")
