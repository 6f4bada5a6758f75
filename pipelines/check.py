"""Stage check: the data gate of one species; a failed rule stops it and whoever starts from it.

Writes ``result.json`` and Data Docs, passed or not, and ends with status 1 when a rule failed.
"""

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from episome import audit, contract, dataset, params
from episome.types import EpisomeError
from pipelines import expectations, paths

_SAID = {"row", "sequence", "labels", "split", "kind", "origin", "place"}


def main(species: str) -> int:
    """Check the rows of one species; 0 when every rule holds."""
    given = params.read()
    tasks = given.tasks_of(species)
    rows = dataset.read(paths.windows(species) / "rows.parquet")
    rows = audit.columns(rows, tasks, given.check, _relatives(paths.relatives(species), given.species))
    outcome = expectations.validate(rows, species, contract.rules(species, tasks, given.check, given.export.max_tokens))
    folder = paths.check(species)
    expectations.write_docs(outcome, folder / "docs")
    report = {
        "species": species,
        "passed": outcome.passed,
        "rows": len(rows),
        "failures": outcome.failures,
        "rules": outcome.rules,
        "shortcuts": {t.name: audit.shortcuts(rows, t, given.check.of(t.name).shortcut.min_rows) for t in tasks},
    }
    (folder / "result.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for failure in outcome.failures:
        print(describe(species, failure), file=sys.stderr)
    if outcome.passed:
        print(f"check {species}: {len(outcome.rules)} rules hold on {len(rows)} rows")
    return 0 if outcome.passed else 1


def _relatives(path: Path, present: Collection[str]) -> dict[str, list[str]]:
    """Family → other species of params.yaml that train on it, of those that the stage homology found."""
    try:
        found: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EpisomeError(f"{path}: no such file; run `dvc repro`, whose stage homology writes it") from error
    others = {family: [name for name in names if name in present] for family, names in found.items()}
    return {family: names for family, names in others.items() if names}


def describe(species: str, failure: dict[str, Any]) -> str:
    """One failure for a person: species, rule, count and example rows."""
    where = " ".join(filter(None, (failure["task"], failure["split"])))
    count, observed = failure["count"], failure["observed"]
    found = ", ".join([f"{count} rows"] * (count is not None) + [f"observed {observed}"] * (observed is not None))
    rule = failure["rule"] + (f" ({where})" if where else "")
    head = f"check {species}: rule {rule} failed: {found}; wanted: {failure['wanted']}"
    if failure["error"]:
        head += f"; {failure['error']}"
    return "\n".join([head, *map(_example, failure["examples"])])


def _example(row: dict[str, Any]) -> str:
    origin = " ".join(filter(None, (row["origin"], row["place"])))
    shown = {name: value for name, value in row.items() if name not in _SAID}
    extra = "".join(f" {name}={value}" for name, value in shown.items())
    kind = f" kind={row['kind']}" if row["kind"] else ""
    labels = json.dumps(row["labels"])
    return f"  row {row['row']}: {row['sequence']} labels={labels} split={row['split']}{kind}{extra} from {origin}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except EpisomeError as error:
        sys.exit(f"check: {error}")
