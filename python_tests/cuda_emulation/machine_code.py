"""Reading a kernel's machine code: its loops, and how many instructions each has.

The source marks its loops with comments ``// warp loop: NAME``. A loop of the machine code gets
the name nearest to its closing branch, from the line itself outwards through the calls that were
inlined there; the compiler must have been given -lineinfo.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

FUNCTION = re.compile(r"^\.text\.(\S+):")
LABEL = re.compile(r"^(\.L_x_\d+):")
INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]+\*/\s+(@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
PLACE = re.compile(r'//## File "([^"]+)", line (\d+)(?: inlined at "([^"]+)", line (\d+))?')
TARGET = re.compile(r"`\((\.L_x_\d+)\)")
MARK = re.compile(r"// warp loop: (.+)$")
ONLY = re.compile(r"// only: (.+)$")


@dataclass
class Instruction:
    operation: str
    operands: str
    predicated: bool
    places: list[tuple[str, int]]  # innermost line first


@dataclass
class Loop:
    """A loop's name and its instructions without those of the loops inside it."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)


def disassembler() -> str | None:
    """nvdisasm on PATH, or of the packages nvidia-cuda-nvdisasm and triton."""
    found = shutil.which("nvdisasm")
    if found:
        return found
    import importlib.util

    for package, path in (("nvidia", "cu13/bin"), ("triton", "backends/nvidia/bin")):
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations if spec else []:
            if (Path(folder) / path / "nvdisasm").exists():
                return str(Path(folder) / path / "nvdisasm")
    return None


def compiled(source: Path, folder: Path, storage: str, architecture: int = 90) -> Path:
    """The source's machine code for one storage type."""
    target = folder / f"{source.stem}.cubin"
    command = ["nvcc", "-std=c++20", "-cubin", f"-arch=sm_{architecture}", "-lineinfo",
               f"-DTEDG_FOR_STORAGE(X)=X({storage})"]  # fmt: skip
    subprocess.run([*command, str(source), "-o", str(target)], check=True)
    return target


def functions(cubin: Path) -> dict[str, list[str]]:
    """The disassembled lines of each kernel, by its mangled name."""
    command = [disassembler(), "-gi", "-c", str(cubin)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if found := FUNCTION.match(line):
            lines = result.setdefault(found.group(1), [])
        lines.append(line)
    return result


def blocks_of(lines: list[str]) -> tuple[list[list[Instruction]], list[list[int]]]:
    """The basic blocks in order, and the numbers of each one's successors."""
    blocks: list[list[Instruction]] = [[]]
    labels: dict[str, int] = {}
    places: list[tuple[str, int]] = []
    fresh = False  # the places read so far belong to the next instruction
    for line in lines:
        if found := LABEL.match(line):
            if blocks[-1]:
                blocks.append([])
            labels[found.group(1)] = len(blocks) - 1
        elif found := PLACE.search(line):
            if not fresh:
                places, fresh = [(found.group(1), int(found.group(2)))], True
            if found.group(3):
                places.append((found.group(3), int(found.group(4))))
        elif found := INSTRUCTION.match(line):
            fresh = False
            predicate, operation, operands = found.groups()
            blocks[-1].append(Instruction(operation, operands, bool(predicate), list(places)))
            if operation.split(".")[0] in ("BRA", "EXIT", "RET", "BPT"):
                blocks.append([])
    blocks = blocks if blocks[-1] else blocks[:-1]
    successors = []
    for number, block in enumerate(blocks):
        last = block[-1]
        name = last.operation.split(".")[0]
        conditional = last.predicated or re.match(r"!?U?P\d|UR|DIV", last.operands) is not None
        follows = [number + 1] if number + 1 < len(blocks) else []
        if name == "BRA":
            if last.operation == "BRA.DIV":  # where lanes have parted, which they never do here
                successors.append(follows)
                continue
            target = labels[TARGET.search(last.operands).group(1)]
            successors.append([target, *follows] if conditional else [target])
        elif name in ("EXIT", "RET", "BPT"):
            successors.append(follows if conditional else [])
        else:
            successors.append(follows)
    return blocks, successors


def reachable(successors: list[list[int]]) -> set[int]:
    found, pending = {0}, [0]
    while pending:
        for other in successors[pending.pop()]:
            if other not in found:
                found.add(other)
                pending.append(other)
    return found


def dominators(successors: list[list[int]]) -> list[set[int]]:
    """Of each block, the blocks that every way from the start to it leads through."""
    count = len(successors)
    before: list[list[int]] = [[] for _ in range(count)]
    for block, following in enumerate(successors):
        for other in following:
            before[other].append(block)
    reached = reachable(successors)
    result = [set(range(count)) for _ in range(count)]
    result[0] = {0}
    changed = True
    while changed:
        changed = False
        for block in range(1, count):
            known = [result[other] for other in before[block] if other in reached]
            new = (set.intersection(*known) if known else set()) | {block}
            if new != result[block]:
                result[block], changed = new, True
    return result


def loops_of(lines: list[str], without: tuple[str, ...] = ()) -> list[Loop]:
    """All loops of a kernel; the first one, "once", is what lies in none.

    What lines marked ``// only: CASE`` ask for is left out for the cases in `without`: a branch
    skips it.
    """
    blocks, successors = blocks_of(lines)
    for block in range(len(blocks)):
        successors[block] = [o for o in successors[block] if not skipped(blocks[o], without)]
    dominated_by, reached = dominators(successors), reachable(successors)
    before: list[list[int]] = [[] for _ in blocks]
    for block in reached:
        for other in successors[block]:
            before[other].append(block)
    bodies: dict[int, set[int]] = {}  # by the loop's first block
    closing: dict[int, int] = {}
    for block in sorted(reached):
        for head in successors[block]:
            if head not in dominated_by[block]:
                continue
            body, pending = bodies.setdefault(head, {head}), [block]
            closing[head] = max(closing.get(head, 0), block)
            while pending:
                at = pending.pop()
                if at not in body:
                    body.add(at)
                    pending.extend(before[at])
    loops = {head: Loop(name_of(blocks[closing[head]])) for head in bodies}
    once = Loop("once")
    for number, block in enumerate(blocks):
        if number not in reached:
            continue
        around = [head for head, body in bodies.items() if number in body]
        inner = min(around, key=lambda head: len(bodies[head])) if around else None
        (once if inner is None else loops[inner]).instructions.extend(block)
    return [once, *loops.values()]


_sources: dict[str, list[str]] = {}


def source_line(file: str, line: int) -> str:
    if file not in _sources:
        _sources[file] = Path(file).read_text().splitlines()
    return _sources[file][line - 1]


def skipped(block: list[Instruction], cases: tuple[str, ...]) -> bool:
    """Whether all of a block is there for one of the cases only."""

    def only(instruction: Instruction) -> bool:
        marks = (ONLY.search(source_line(*place)) for place in instruction.places)
        return any(mark.group(1) in cases for mark in marks if mark)

    return bool(cases) and all(only(instruction) for instruction in block)


def name_of(block: list[Instruction]) -> str:
    """The marks from the branch that closes a loop outwards."""
    marks = [MARK.search(source_line(*place)) for place in block[-1].places]
    if marks[0] is None:
        where = " < ".join(f"{Path(file).name}:{line}" for file, line in block[-1].places)
        return f"unmarked loop at {where}"
    return " of ".join(mark.group(1) for mark in marks if mark)
