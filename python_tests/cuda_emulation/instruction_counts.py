"""How many warp instructions the tile kernels of gat_attention take, counted in their machine code.

    python python_tests/cuda_emulation/instruction_counts.py [--architecture 90] [--dtype float32]

Each loop's instructions are read from the disassembly and multiplied by how often the warps of a
block go round it, which follows from the graph: no GPU is needed. What a branch skips is counted as
if it ran, so the sums are bounds from above. Needs nvcc and nvdisasm (the package
nvidia-cuda-nvdisasm has one).
"""

import argparse
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from cuda_emulation.machine_code import Loop, compiled, functions, loops_of

KERNELS = Path(__file__).resolve().parents[2] / "csrc/cuda/kernels"
HUB_PAIRS = 31  # as in gat_tile.cuh
MANGLED = {"float32": "f", "bfloat16": "13__nv_bfloat16", "float16": "6__half", "float64": "d"}
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


def loops(kernel: str, dtype: str, architecture: int = 90) -> list[Loop]:
    """The loops of the tile path's "forward" or "backward", for aligned rows."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = compiled(KERNELS / f"gat_tile_{kernel}.cu", Path(folder), architecture)
        wanted = f"tile_{kernel}I{MANGLED[dtype]}Lb1E"
        found = [lines for name, lines in functions(cubin).items() if wanted in name]
    if len(found) != 1:
        raise RuntimeError(f"expected one kernel {wanted} in the machine code, got {len(found)}")
    return loops_of(found[0], without=("bias",))


def count(kernel: str, dtype: str, shape: Shape, found: list[Loop]) -> list[tuple[str, int, int]]:
    """(loop, its instructions, rounds of all warps a tile); raises KeyError at an unknown loop."""
    warps = {"forward": 16, "backward": 24}[kernel]
    known = rounds_of(kernel, shape, SIZES[dtype], warps)
    known |= {loop.replace(" of ", " of bias of ", 1): 0 for loop in known if " of " in loop}
    return [(loop.name, len(loop.instructions), known[loop.name]) for loop in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", type=int, default=90)
    parser.add_argument("--dtype", choices=MANGLED, default="float32")
    options = parser.parse_args()
    for kernel in ("forward", "backward"):
        found = loops(kernel, options.dtype, options.architecture)
        table = count(kernel, options.dtype, Shape.headline(), found)
        print(f"{kernel}, {options.dtype}, sm_{options.architecture}: warp instructions a tile")
        for name, size, times in sorted(table, key=lambda row: -row[1] * row[2]):
            if times:
                print(f"  {size * times:7d} = {size:4d} x {times:5d}  {name}")
        print(f"  {sum(size * times for _, size, times in table):7d}   in all")


if __name__ == "__main__":
    main()
