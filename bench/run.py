"""Times the ops beside their competitors, and the parts of training; writes a table of each.

    python bench/run.py [--name NAME] [arguments for pytest, e.g. -k "route or copy"]
    python bench/run.py -k "layer or training_step or attention or routing"  # README's table

Prints the table, first the rows that README.md shows, and writes it to bench/results/kernels.md,
or kernels_NAME.md with ``--name NAME``. Ratios are a competitor's time over ours, timed in turn,
each its shortest round, which other work on the machine disturbs least; above 1 means that ours is
faster. Run it on an idle machine: with a core taken away, every parallel op waits for the
scheduler.
"""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
import record

HERE = Path(__file__).resolve().parent
OURS = "tedg_fast"
# What README.md shows: these shapes, with their gradients.
README = (
    "Cora", "arxiv size", "256 molecules", "dense:", "64 x NetHack",
    "B=64 N=530", "B=4096 K=4 A=23", "B=4096 K=32 classes",
)  # fmt: skip


def megabytes(count: int) -> str:
    return f"{count / 2**20:.1f}"


def grouped(results: list[dict]) -> dict[str, dict[str, dict]]:
    """What was timed side by side: group -> implementation -> result."""
    groups: dict[str, dict[str, dict]] = defaultdict(dict)
    for result in results:
        groups[result["group"]][result["extra_info"]["implementation"]] = result
    return groups


def readme_table(results: list[dict]) -> list[str]:
    """The rows of README.md: ratios of time and memory, forward and backward."""
    lines = [
        "| op | against | times faster | peak memory, ours / theirs |",
        "| --- | --- | --- | --- |",
    ]
    for group, entries in grouped(results).items():
        if group.count(" | ") != 2:  # the copy, and what is no op
            continue
        name, shape, what = group.split(" | ")
        if OURS not in entries or what == "forward" or not shape.startswith(README):
            continue
        label = f"`{name}`, {shape}" + (f", {what}" if what != "forward+backward" else "")
        ours = entries[OURS]
        for competitor, entry in entries.items():
            if competitor == OURS:
                continue
            peaks = [megabytes(e["extra_info"]["peak_bytes"]) for e in (ours, entry)]
            ratio = entry["stats"]["min"] / ours["stats"]["min"]
            lines.append(f"| {label} | {competitor} | {ratio:.1f} | {' / '.join(peaks)} MiB |")
            label = ""
    return lines if len(lines) > 2 else []


def table(results: list[dict]) -> list[str]:
    """Markdown rows: ours first, then every competitor's ratio in time and peak memory."""
    groups = grouped(results)
    copy_rate = None
    for result in groups.pop("copy", {}).values():
        copy_rate = result["extra_info"]["bytes_moved"] / result["stats"]["min"]
    lines = [
        "| op | shape | direction | ours, ms | competitor | its time / ours | peak MiB, ours | "
        "its | bytes moved, % of copy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for group, entries in groups.items():
        if OURS not in entries:
            continue
        ours = entries[OURS]
        best = ours["stats"]["min"]
        moved = ours["extra_info"].get("bytes_moved")
        rate = f"{100 * moved / best / copy_rate:.0f}" if moved and copy_rate else ""
        name, shape, direction = group.split(" | ")
        for competitor, entry in entries.items():
            if competitor == OURS:
                continue
            lines.append(
                f"| {name} | {shape} | {direction} | {1e3 * best:.3f} | {competitor} | "
                f"{entry['stats']['min'] / best:.1f} | "
                f"{megabytes(ours['extra_info']['peak_bytes'])} | "
                f"{megabytes(entry['extra_info']['peak_bytes'])} | {rate} |"
            )
    if copy_rate:
        lines += ["", f"Copy bandwidth (bytes read and written): {copy_rate / 1e9:.1f} GB/s."]
    return lines


def lone_table(results: list[dict]) -> list[str]:
    """Markdown rows of what is timed without a competitor of ours, as the parts of training."""
    compared = {r["group"] for r in results if r["extra_info"]["implementation"] == OURS}
    rows = [
        f"| {result['group'].replace(' | ', ': ')} | {result['extra_info']['implementation']} | "
        f"{1e3 * result['stats']['min']:.3f} |"
        for result in results
        if result["group"] not in compared | {"copy"}
    ]
    return ["", "| part | implementation | ms |", "|---|---|---|", *rows] if rows else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="", help="added to the record's name")
    options, arguments = parser.parse_known_args()
    header = record.header()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "benchmark.json"
        status = pytest.main(
            [
                str(HERE),
                "-q",
                "-p",
                "no:cacheprovider",
                "--benchmark-quiet",
                "--benchmark-max-time=1.0",
                "--benchmark-min-rounds=7",
                "--benchmark-warmup=on",
                "--benchmark-warmup-iterations=2",
                "-rs",
                f"--benchmark-json={report}",
                *arguments,
            ]
        )
        if not report.exists() or report.stat().st_size == 0:
            return int(status) or 1
        results = json.loads(report.read_text())["benchmarks"]
    title = f"# Kernels beside their competitors{options.name and f': {options.name}'}"
    lines = [title, "", *header, "", *readme_table(results), ""]
    lines += table(results)
    lines += lone_table(results)
    record.write("_".join(filter(None, ["kernels", options.name])), lines)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
