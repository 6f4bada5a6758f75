"""Test MCC of every evaluated species and task beside its k-mer baseline, as a Markdown table.

Run as ``python benchmarks/table.py [reports/evaluate]`` after the pipeline; it only reads reports.
"""

import json
import sys
from pathlib import Path
from typing import Any


def rows(folder: Path) -> list[str]:
    """One line per species and task, in the order of the files' names."""
    lines = []
    for file in sorted(folder.glob("*.json")):
        report = json.loads(file.read_text(encoding="utf-8"))
        for task, result in report["tasks"].items():
            model, kmers = result["test"], result["baseline"]
            gain = model["mcc"]["value"] - kmers["mcc"]["value"]
            lines.append(
                f"| {report['species']} | {task} | {model['n']} | {_interval(model['mcc'])} | "
                f"{_interval(kmers['mcc'])} | {gain:+.3f} | {model['auroc']['value']:.3f} | "
                f"{kmers['auroc']['value']:.3f} |"
            )
    return lines


def _interval(score: dict[str, Any]) -> str:
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "reports/evaluate")
    found = rows(folder)
    if not found:
        sys.exit(f"{folder}: no evaluation there; run `make repro` first")
    print("| species | task | test rows | MCC [95 % interval] | k-mer MCC | gain | AUROC | k-mer AUROC |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(found))


if __name__ == "__main__":
    main()
