"""Two corrections to the copy of NetHack's library that NLE loads for each game, and a look into
it.

NLE gives every game a private copy of `libnethack.so`, loaded anew at each reset, because NetHack
keeps its state in global variables. So each copy has its own variables, which we can reach, and
its own machine code, which need not be.
"""

import contextlib
import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from nle.nethack.nethack import DLPATH

# NetHack derives shopkeepers' names and manners from the second a game began, so the wall clock
# would leak into replays. Any constant will do.
_BIRTHDAY = 0

_RTLD_DI_LINKMAP = 2  # dlfcn.h
_MAP_FIXED = 0x10  # mman.h
# elf.h: program headers of type PT_LOAD are mapped; flags and protections use other bits.
_PT_LOAD = 1
_PF_X, _PF_W, _PF_R = 1, 2, 4

# `struct kinfo` (NetHack 3.6's decl.h): a pointer and two ints, then the text, NUL-terminated.
_KILLER_NAME = 16

_libc = ctypes.CDLL(None, use_errno=True)
_libc.dlopen.restype = ctypes.c_void_p
_libc.dlopen.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.dlsym.restype = ctypes.c_void_p
_libc.dlsym.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
_libc.dlinfo.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_libc.dlclose.argtypes = (ctypes.c_void_p,)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
)  # fmt: skip


def correct_library(path: str) -> None:
    """Stop the game's clock and share its code with all other games.

    `path` is `Nethack.dlpath`. To be called whenever a game has begun: by then it has noted the
    time, and nothing has used it, as shops and their keepers are made below the first level only.
    """
    with _loaded(path) as handle:
        birthday = _libc.dlsym(handle, b"ubirthday")
        ctypes.c_long.from_address(birthday).value = _BIRTHDAY
        link_map = ctypes.POINTER(ctypes.c_void_p)()
        _libc.dlinfo(handle, _RTLD_DI_LINKMAP, ctypes.byref(link_map))
        _share_code(link_map[0] or 0)  # the first member of a link_map is the load address


def killer(path: str) -> str:
    """What killed the player, in the game's words: "jackal", "kicking a wall", "starvation".

    `path` is `Nethack.dlpath` after a death and before the next reset.
    """
    with _loaded(path) as handle:
        address = _libc.dlsym(handle, b"killer") + _KILLER_NAME
        return ctypes.string_at(address).decode("latin-1")


@contextlib.contextmanager
def _loaded(path: str) -> Iterator[int]:
    """A handle of the library that NLE has loaded from `path`.

    This only counts a reference. It must not be held for long, or the next reset would not load
    the library anew and would keep the old game's variables.
    """
    handle = _libc.dlopen(os.fsencode(path), os.RTLD_LAZY | os.RTLD_NOLOAD)
    if not handle:
        raise RuntimeError(f"NLE's library {path} is not loaded; this needs nle 1.3.0 on Linux")
    try:
        yield handle
    finally:
        _libc.dlclose(handle)


def _share_code(base: int) -> None:
    """Replace a copy's read-only pages by those of the original file, which are the same bytes.

    One physical copy of the code then serves all games of all workers and stays in the caches;
    32 games played in turn step about twice as fast.
    """
    for segment in _read_only_segments():
        address = base + segment.address
        mapped = _libc.mmap(
            address, segment.size, segment.protection, mmap.MAP_PRIVATE | _MAP_FIXED,
            _library_file(), segment.offset,
        )  # fmt: skip
        if mapped != address:
            raise OSError(ctypes.get_errno(), f"cannot map {DLPATH}")


class _Segment(NamedTuple):
    offset: int
    address: int
    size: int
    protection: int


@cache
def _library_file() -> int:
    return os.open(DLPATH, os.O_RDONLY | os.O_CLOEXEC)


@cache
def _read_only_segments() -> tuple[_Segment, ...]:
    """The parts of the 64-bit ELF file that are mapped but never written, in whole pages."""
    with open(DLPATH, "rb") as file:
        header = file.read(64)
        table, entry_size, entries = struct.unpack_from("<Q14xHH", header, 32)
        file.seek(table)
        headers = [file.read(entry_size) for _ in range(entries)]
    segments = []
    for entry in headers:
        kind, flags, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", entry)
        if kind == _PT_LOAD and not flags & _PF_W:
            protection = (mmap.PROT_READ if flags & _PF_R else 0) | (
                mmap.PROT_EXEC if flags & _PF_X else 0
            )
            segments.append(_Segment(offset, address, size, protection))
    return tuple(segments)
