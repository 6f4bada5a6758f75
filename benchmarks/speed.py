"""How fast the exported bundles answer on this machine: one species, several mixed, one window at a time.

Run after `make repro` as ``python benchmarks/speed.py``; prints a Markdown table. Sequences are random: speed does not
depend on what they say.
"""

import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from episome import params
from episome.runtime import Engine, Prepared

BUNDLES = Path("bundle")
BASES = 300
ROWS = 512
REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    """Median duration of one call after a first that is not counted."""
    work()
    durations = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def main() -> None:
    """Measure every bundle in `bundle/` and print the table."""
    folders = sorted(card.parent for card in BUNDLES.glob("*/card.json") if card.parent.name != "base")
    if not folders:
        sys.exit(f"no bundle in {BUNDLES}/; run `make repro` first")
    threads = params.read().serve.threads
    engine = Engine(BUNDLES / "base", threads=threads)
    slots = [engine.add(folder).slot for folder in folders]
    draw = random.Random(1)
    sequences = ["".join(draw.choices("ACGT", k=BASES)) for _ in range(ROWS)]
    rows: list[Prepared] = [engine.prepare(sequence, None) for sequence in sequences]
    alone = [(row, slots[0]) for row in rows]
    mixed = [(row, slots[i % len(slots)]) for i, row in enumerate(rows)]
    measured = {
        "tokenise and count": seconds(lambda: [engine.prepare(sequence, None) for sequence in sequences]) / ROWS,
        f"score, {ROWS} windows of one species": seconds(lambda: engine.logits(alone)) / ROWS,
        f"score, {ROWS} windows of {len(slots)} species mixed": seconds(lambda: engine.logits(mixed)) / ROWS,
        "score, one window": seconds(lambda: engine.logits(alone[:1])),
    }
    sys.stdout.write(f"{platform.machine()}, {threads} threads, {engine.provider}, windows of {BASES} bases\n\n")
    sys.stdout.write("| | ms a window | windows a second |\n|---|---|---|\n")
    for name, duration in measured.items():
        sys.stdout.write(f"| {name} | {duration * 1000:.3f} | {1 / duration:.0f} |\n")
    engine.close()


if __name__ == "__main__":
    main()
