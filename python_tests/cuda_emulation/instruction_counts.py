"""How many warp instructions gat_attention's kernels take, counted in their machine code.

    python python_tests/cuda_emulation/instruction_counts.py [--architecture 90] [--dtype float32]

Each loop's instructions are read from the disassembly and multiplied by how often the warps of a
block go round it, which follows from the graph: no GPU is needed. What a branch skips is counted as
if it ran, so the sums are bounds from above. Tiles are counted in all, the general path an edge.
Needs nvcc and nvdisasm (the package nvidia-cuda-nvdisasm has one).
"""

import argparse
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from cuda_emulation.build import STORAGE
from cuda_emulation.machine_code import Loop, compiled, functions, loops_of

KERNELS = Path(__file__).resolve().parents[2] / "csrc/cuda/kernels"
HUB_PAIRS = 31  # as in gat_tile.cuh
PART_EDGES, WINDOW_KEYS = 256, 1024  # as in gat_window.cuh and gat_general.cuh
WINDOW_WARPS = 8
MANGLED = {"float32": "f", "bfloat16": "13__nv_bfloat16", "float16": "6__half", "float64": "d"}
# The general path's kernels: their files, and whose rows they take.
WINDOWS = {"window_forward": ("forward", "target"), "window_targets": ("backward", "target"),
           "window_sources": ("backward", "source")}  # fmt: skip
SIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


@dataclass(frozen=True)
class Shape:
    """A graph's degrees, and the width of a head."""

    target_degrees: list[int]
    source_degrees: list[int]
    width: int

    @staticmethod
    def headline() -> "Shape":
        """N = 530, E = 3500, D = 64, one target with 198 edges: the shape of ops.md's table."""
        generator = torch.Generator().manual_seed(0)
        target = torch.randint(0, 530, (3500,), generator=generator)
        target[:198] = 7
        source = torch.randint(0, 530, (3500,), generator=generator)
        degrees = (torch.bincount(v, minlength=530).tolist() for v in (target, source))
        return Shape(*degrees, width=64)

    @staticmethod
    def ragged() -> "Shape":
        """100 graphs of 60 nodes one after the other: degrees 0 to 14, a source that all share."""
        generator = torch.Generator().manual_seed(0)
        target_degrees = torch.randint(0, 15, (6000,), generator=generator)
        edges = int(target_degrees.sum())
        source = torch.randint(0, 6000, (edges,), generator=generator)
        source[::50] = 6000
        source_degrees = torch.bincount(source, minlength=6001)
        return Shape(target_degrees.tolist(), source_degrees.tolist(), width=64)


def rounds(degrees: list[int], lanes: int, name: str) -> dict[str, int]:
    """What for_rows does with `lanes` lanes a row: rounds of its loops, by the loop's name."""
    pairs = sorted(((degree + 1) // 2 for degree in degrees), reverse=True)
    hubs = [p for p in pairs if p >= HUB_PAIRS]
    rows, groups = pairs[len(hubs) :], 32 // lanes
    units = [rows[i] for i in range(0, len(rows), groups)]  # the longest of those side by side
    return {
        f"hubs of {name}": len(hubs),
        f"rows of {name}": len(units),
        f"in hub of {name}": sum(math.ceil(p / groups) for p in hubs),
        f"in row of {name}": sum(units),
        f"sum of hub of {name}": len(hubs) * int(math.log2(groups)),
    }


def rounds_of(kernel: str, shape: Shape, value_bytes: int, warps: int) -> dict[str, int]:
    """How often the warps of a block go round each loop of a kernel, for the first tile."""
    sources, targets = len(shape.source_degrees), len(shape.target_degrees)
    edges = sum(shape.target_degrees)
    chunks = math.ceil(shape.width * value_bytes / 16)
    slices = math.ceil(chunks / 8)
    lanes = 2 ** math.ceil(math.log2(min(chunks, 8)))

    def shared_out(items: int) -> int:
        return math.ceil(items / 32)

    pairs = {"t": (edges + targets + 1) // 2, "s": (edges + sources + 1) // 2}
    backward = kernel == "backward"
    gathered = shape.source_degrees if backward else shape.target_degrees
    gathering = rounds(gathered, lanes, "gathering")
    layout = rounds(shape.target_degrees, 1, "layout")
    softmax = rounds(shape.target_degrees, 1, "softmax")
    by_target = rounds(shape.target_degrees, 1, "targets")
    by_source = rounds(shape.source_degrees, 1, "sources")
    result = {
        "once": warps,
        "tiles": warps,
        "slices": warps * slices,
        "stage scores": shared_out(sources + 1),
        "clear": shared_out(pairs["t"]),
        "clear transpose": shared_out(pairs["s"]),
        "degrees": shared_out(targets),
        "order rows": shared_out(targets),
        "scan": 5,
        "place edges": shared_out(edges),
        "products": shared_out(pairs["t"]) * slices,
        # Not at this shape: relations, and slices that are not full.
        **dict.fromkeys(("stage bias", "relations", "slots"), 0),
        **dict.fromkeys(("products of a part", "chunks of a part"), 0),
    }
    if backward:  # both orders of rows, by one code each
        result["degrees"] = result["order rows"] = shared_out(max(targets, sources))
    for tile, rows in (("", sources), (" of x", sources), (" of grad", targets)):
        copies = shared_out(rows * lanes)
        result[f"copy{tile} of first"] = copies
        result[f"copy{tile} of next"] = copies * (slices - 1)
    for name, count in gathering.items():
        result[name.replace("in ", "pairs of ")] = count * slices
    result |= {n.replace("in ", "place edges of "): c for n, c in layout.items()}
    for part in ("scores", "exponentials", "weights"):
        result |= {n.replace("in ", f"{part} of "): c for n, c in softmax.items()}
    for part in ("mean", "gradients"):
        result |= {n.replace("in ", f"{part} of "): c for n, c in by_target.items()}
    result |= {n.replace("in ", "pairs of "): c for n, c in by_source.items()}
    for name in ("softmax", "targets", "sources"):
        result[f"largest of hub of {name}"] = result[f"sum of hub of {name}"]
    return result


def windows_of(degrees: list[int]) -> list[list[int]]:
    """The degrees of the rows, or parts of rows, that begin in each window."""
    edges = sum(degrees)
    windows: list[list[int]] = [[] for _ in range(math.ceil((edges + len(degrees)) / WINDOW_KEYS))]
    begin = 0
    for row, degree in enumerate(degrees):
        for part in range(max(1, math.ceil(degree / PART_EDGES))):
            key = begin + row + part * PART_EDGES
            rest = degree - part * PART_EDGES
            windows[key // WINDOW_KEYS].append(min(rest, PART_EDGES))
        begin += degree
    return windows


def window_rounds(kernel: str, shape: Shape, value_bytes: int) -> dict[str, int]:
    """How often all warps go round each loop of a kernel of the general path, for one head."""
    degrees = shape.target_degrees if WINDOWS[kernel][1] == "target" else shape.source_degrees
    chunks = math.ceil(shape.width * value_bytes / 16)
    lanes = 2 ** math.ceil(math.log2(min(chunks, 32)))
    result: dict[str, int] = {}

    def add(name: str, times: int) -> None:
        result[name] = result.get(name, 0) + times

    for window in windows_of(degrees):
        rows = math.ceil(len(window) / 32)
        for name in ("once", "columns"):
            add(name, WINDOW_WARPS)
        add("search", 2 * math.ceil(math.log(len(degrees), 33)))
        add("scan", 5)
        add("stage bias", 1)  # of up to 32 relations
        add("later parts", sum(degree == PART_EDGES for degree in window))
        for name in ("find parts", "degrees", "order rows"):
            add(name, rows)
        for part, width in (("staging", 1), ("softmax", 1), ("gradients", 1),
                            ("gathering", lanes), ("products", lanes)):  # fmt: skip
            for name, times in rounds(window, width, part).items():
                if name.startswith("in "):
                    for loop in ("edges", "scores", "exponentials", "weights", "mean", "pairs"):
                        add(name.replace("in ", f"{loop} of "), times)
                else:
                    add(name, times)
                    if name.startswith("sum"):
                        add(name.replace("sum", "largest"), times)
    return result


def loops(source: str, kernel: str, dtype: str, architecture: int = 90) -> list[Loop]:
    """The loops of a kernel of gat_SOURCE.cu, for aligned rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = KERNELS / f"gat_{source}.cu"
        cubin = compiled(file, Path(folder), STORAGE[dtype], architecture)
        wanted = f"{kernel}I{MANGLED[dtype]}Lb1E"
        found = [lines for name, lines in functions(cubin).items() if wanted in name]
    if len(found) != 1:
        raise RuntimeError(f"expected one kernel {wanted} in the machine code, got {len(found)}")
    return loops_of(found[0], without=("bias",) if source.startswith("tile") else ())


Count = list[tuple[str, int, int]]  # loop, its instructions, rounds of all warps


def count_tile(kernel: str, dtype: str, shape: Shape, architecture: int = 90) -> Count:
    """Of "forward" or "backward", for a tile; raises KeyError at an unknown loop."""
    warps = {"forward": 16, "backward": 24}[kernel]
    known = rounds_of(kernel, shape, SIZES[dtype], warps)
    known |= {loop.replace(" of ", " of bias of ", 1): 0 for loop in known if " of " in loop}
    found = loops(f"tile_{kernel}", f"tile_{kernel}", dtype, architecture)
    return [(loop.name, len(loop.instructions), known[loop.name]) for loop in found]


def count_windows(kernel: str, dtype: str, shape: Shape, architecture: int = 90) -> Count:
    """Of one of WINDOWS, for one sample's head; raises KeyError at an unknown loop."""
    known = window_rounds(kernel, shape, SIZES[dtype])
    found = loops(f"general_{WINDOWS[kernel][0]}", kernel, dtype, architecture)
    return [(loop.name, len(loop.instructions), known[loop.name]) for loop in found]


def total(table: Count) -> int:
    return sum(size * times for _, size, times in table)


def show(title: str, table: Count) -> None:
    print(title)
    for name, size, times in sorted(table, key=lambda row: -row[1] * row[2]):
        if times:
            print(f"  {size * times:8d} = {size:4d} x {times:6d}  {name}")
    print(f"  {total(table):8d}   in all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", type=int, default=90)
    parser.add_argument("--dtype", choices=MANGLED, default="float32")
    options = parser.parse_args()
    with_dtype = f"{options.dtype}, sm_{options.architecture}: warp instructions"
    for kernel in ("forward", "backward"):
        table = count_tile(kernel, options.dtype, Shape.headline(), options.architecture)
        show(f"{kernel}, {with_dtype} a tile", table)
    shape = Shape.ragged()
    for kernel in WINDOWS:
        table = count_windows(kernel, options.dtype, shape, options.architecture)
        show(f"{kernel}, {with_dtype} a head", table)
        print(f"  {total(table) / sum(shape.target_degrees):8.1f}   an edge")


if __name__ == "__main__":
    main()
