"""Stage `gate`: the exported bundle against the champion it came from, on test rows, as the service would answer.

A failing verdict is an output, not an error: `promote` reads it and refuses.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from episome import bundle, dataset, params
from episome.bundle import BundleError
from episome.gate import Check, Limits, Scored, beats_chance, compare, gain
from episome.params import Params
from episome.runtime import Adapter, Engine
from episome.types import EpisomeError
from pipelines import paths


def main(species: str) -> None:
    """Write reports/gate/<species>.json and print its checks."""
    chosen = params.read()
    prior = chosen.of(species).prior
    engine = Engine(paths.bundle("base"), threads=chosen.compute.threads)
    checks = [_data(species), *_judged(engine, species, chosen)]
    engine.close()
    report = {
        "species": species,
        "passed": all(check.passed for check in checks),
        "bundle": bundle.digest(paths.bundle(species)),
        "prior": prior,
        "checks": [asdict(check) for check in checks],
    }
    path = paths.gate(species)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for check in checks:
        print(f"gate {species}: {'pass' if check.passed else 'FAIL'}  {check.name}: {check.message}")


def _data(species: str) -> Check:
    path = paths.check(species) / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    failed = sorted({failure["rule"] for failure in result["failures"]})
    message = f"data check failed: {', '.join(failed)} ({path})" if failed else f"{len(result['rules'])} rules hold"
    return Check(name="data", passed=result["passed"], message=message)


def _judged(engine: Engine, species: str, chosen: Params) -> Iterator[Check]:
    """Golden answers first; what does not load is not scored."""
    golden, challenger = _added(engine, paths.bundle(species), species, "golden")
    yield golden
    if challenger is None:
        return
    limits = Limits(
        max_loss=chosen.gate.max_loss_mcc,
        min_rows=chosen.gate.min_rows,
        confidence=chosen.gate.confidence,
        bootstrap=chosen.gate.bootstrap,
        seed=chosen.seed,
    )
    rows = dataset.read(paths.windows(species) / "rows.parquet")
    test = rows[rows["split"] == "test"]
    for task in challenger.card.tasks:
        asked = _labelled(test, task.name)
        scored = _scored(engine, challenger, asked, task.name)
        yield beats_chance(task.name, asked[dataset.label_column(task.name)], asked["group"], scored, limits)
    prior = chosen.of(species).prior
    if prior != "none":
        loads, champion = _added(engine, paths.prior(prior), species, "champion")
        yield loads
        if champion is not None:
            yield _here(champion, rows)
            yield from _kept(engine, champion, challenger, test, limits)


def _added(engine: Engine, folder: Path, species: str, name: str) -> tuple[Check, Adapter | None]:
    try:
        adapter = engine.add(folder, species)
    except BundleError as error:
        return Check(name=name, passed=False, message=str(error)), None
    return Check(name=name, passed=True, message=f"{folder}: verified, golden answers reproduced"), adapter


def _here(champion: Adapter, rows: pd.DataFrame) -> Check:
    """Whether everything the champion was trained on is still in the rows; what is gone cannot be tested."""
    gone = sorted({*champion.card.lineage.releases} - {*rows["release"]})
    message = (
        f"gone from the rows, so untested: {', '.join(gone)}" if gone else "all of the champion's releases are here"
    )
    return Check(name="releases", passed=not gone, message=message)


def _kept(
    engine: Engine, champion: Adapter, challenger: Adapter, rows: pd.DataFrame, limits: Limits
) -> Iterator[Check]:
    """One check per suite, a task of the champion on one release: what it was trained on is kept, the rest is told."""
    known = {task.name for task in challenger.card.tasks}
    for task in (task.name for task in champion.card.tasks):
        if task not in known:
            yield Check(
                name="tasks", suite=task, passed=False, message=f"{task}: the champion answers it, this does not"
            )
            continue
        asked = _labelled(rows, task)
        old, new = _scored(engine, champion, asked, task), _scored(engine, challenger, asked, task)
        labels, groups = asked[dataset.label_column(task)].to_numpy(), asked["group"].to_numpy()
        trained = {*champion.card.lineage.releases}
        for release in sorted({"none"} & trained | {*asked["release"]}, key=lambda name: (name not in trained, name)):
            at = (asked["release"] == release).to_numpy()
            judge = compare if release in trained else gain
            yield judge(f"{task}/{release}", labels[at], groups[at], old.where(at), new.where(at), limits)


def _labelled(rows: pd.DataFrame, task: str) -> pd.DataFrame:
    return rows[rows[dataset.label_column(task)] >= 0]


def _scored(engine: Engine, adapter: Adapter, rows: pd.DataFrame, name: str) -> Scored:
    """Calibrated probabilities of one task, with the version's own temperature and threshold."""
    column, task = next((k, task) for k, task in enumerate(adapter.card.tasks) if task.name == name)
    centre = task.window // 2 if task.scope == "site" and task.window is not None else None
    prepared = [(engine.prepare(sequence, centre), adapter.slot) for sequence in rows["sequence"]]
    probabilities = adapter.probabilities(engine.logits(prepared)[0])[:, column]
    return Scored(probabilities=probabilities, threshold=task.threshold)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"gate: {error}")
