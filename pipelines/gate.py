"""Stage `gate`: the exported bundle against the champion it came from, on test rows, as the service would answer.

A failing verdict is an output, not an error: `promote` reads it and refuses.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from episome import agreement, bundle, dataset, isolation, params, probe
from episome.bundle import BundleError
from episome.gate import Check, Limits, Scored, beats_chance, compare, gain, over_baseline, suites
from episome.gateparams import Gate
from episome.params import Params
from episome.runtime import Adapter, Engine, Floats
from episome.types import EpisomeError
from pipelines import paths

_SEEN = ("test_in_train", "val_in_train", "test_in_val")
_RELATED = ("group_overlap", "species_overlap")


def main(species: str) -> None:
    """Write reports/gate/<species>.json and print its checks."""
    chosen = params.read()
    prior = chosen.of(species).prior
    engine = Engine(paths.bundle("base"), threads=chosen.compute.threads)
    checks = [*_data(species, chosen.gate), *_judged(engine, species, chosen)]
    engine.close()
    if all(check.passed for check in checks if check.name == "golden"):
        checks.append(_isolation(species, chosen))
    report = {
        "species": species,
        "passed": all(check.passed for check in checks),
        "bundle": bundle.digest(paths.bundle(species)),
        "prior": prior,
        "prior_bundle": None if prior == "none" else _digest(paths.prior(prior)),
        "limits": chosen.gate.model_dump(mode="json"),
        "checks": [asdict(check) for check in checks],
    }
    path = paths.gate(species)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for check in checks:
        print(f"gate {species}: {'pass' if check.passed else 'FAIL'}  {check.name}: {check.message}")


def _digest(folder: Path) -> str | None:
    try:
        return bundle.digest(folder)
    except BundleError:
        return None


def _data(species: str, limits: Gate) -> Iterator[Check]:
    """What the data gate found, leaks apart: of rows that training saw, no more than this gate allows."""
    path = paths.check(species) / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    failed = sorted({failure["rule"] for failure in result["failures"]})
    message = f"data check failed: {', '.join(failed)} ({path})" if failed else f"{len(result['rules'])} rules hold"
    yield Check(name="data", passed=result["passed"], message=message)
    leaks = [rule for rule in result["rules"] if rule["rule"] in (*_SEEN, *_RELATED)]
    if missing := sorted({*_SEEN, *_RELATED} - {rule["rule"] for rule in leaks}):
        yield Check(name="leaks", passed=False, message=f"not looked for: {', '.join(missing)} ({path})")
        return
    shares = {
        name: max(rule["observed"] or 0.0 for rule in leaks if rule["rule"] == name) for name in (*_SEEN, *_RELATED)
    }
    seen, broken = max(shares[name] for name in _SEEN), [rule["rule"] for rule in leaks if not rule["passed"]]
    said = ", ".join(f"{name} {share:.4f}" for name, share in shares.items())
    message = f"shares of rows, at most {limits.max_leak} of sequences seen before (gate.max_leak): {said}"
    yield Check(
        name="leaks", passed=seen <= limits.max_leak and not broken, message=message, value=seen, limit=limits.max_leak
    )


def limits(chosen: Params) -> Limits:
    """What params.yaml allows."""
    return Limits(
        max_loss=chosen.gate.max_loss_mcc,
        min_rows=chosen.gate.min_rows,
        confidence=chosen.gate.confidence,
        bootstrap=chosen.gate.bootstrap,
        seed=chosen.seed,
    )


def _judged(engine: Engine, species: str, chosen: Params) -> Iterator[Check]:
    """Golden answers first; what does not load is not scored."""
    golden, challenger = _added(engine, paths.bundle(species), species, "golden")
    yield golden
    if challenger is None:
        return
    bounds = limits(chosen)
    rows = dataset.read(paths.windows(species) / "rows.parquet")
    test, evaluated = rows[rows["split"] == "test"], _evaluated(species)
    for task in challenger.card.tasks:
        asked = dataset.labelled(test, task.name)
        labels, scored = asked[dataset.label_column(task.name)], _scored(engine, challenger, asked, task.name)
        yield beats_chance(task.name, labels, asked["group"], scored, bounds)
        kmers, least = evaluated[task.name]["baseline"]["mcc"]["value"], chosen.gate.min_over_baseline_mcc
        yield over_baseline(task.name, labels, scored, kmers, bounds, least=least)
    prior = chosen.of(species).prior
    if prior == "none":
        message = "no champion to compare with: retention, gain, probe, calibration, KL and flips are of retrains alone"
        yield Check(name="champion", passed=True, message=message)
        return
    loads, champion = _added(engine, paths.prior(prior), species, "champion")
    yield loads
    if champion is not None:
        yield _named(champion, prior, species)
        yield _here(champion, rows)
        yield from _kept(_Compared(engine, champion, challenger), rows, bounds, chosen.gate)


def _evaluated(species: str) -> dict[str, Any]:
    """Task → what stage `evaluate` found on the same test rows."""
    found: dict[str, Any] = json.loads(paths.evaluation(species).read_text(encoding="utf-8"))["tasks"]
    return found


def _isolation(species: str, chosen: Params) -> Check:
    """Donors' adapters are what a stage may know of; `promote` asks every champion on the shelf."""
    about = chosen.of(species)
    others = {name: paths.bundle(name) for name in (about.donor, about.beside) if name != "base"}
    found = isolation.tried(paths.bundle("base"), others, paths.bundle(species), threads=chosen.compute.threads)
    return isolation.check(found, list(others))


def _named(champion: Adapter, prior: str, species: str) -> Check:
    """Whether the prior is the bundle that its name, and so params.yaml, says."""
    wanted = paths.prior_name(species, champion.digest)
    if prior == wanted:
        return Check(name="prior", passed=True, message=f"{prior} holds the bundle {champion.digest}")
    message = (
        f"{paths.prior(prior)} holds the bundle {champion.digest}, which would be {wanted}; "
        f"`episome retrain {species}` pins the champion"
    )
    return Check(name="prior", passed=False, message=message)


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


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two versions of a species in one engine."""

    engine: Engine
    champion: Adapter
    challenger: Adapter


def _kept(both: _Compared, rows: pd.DataFrame, limits: Limits, allowed: Gate) -> Iterator[Check]:
    """What the champion was trained on is kept, suite by suite, and the rest is told; then what both say otherwise."""
    known = {task.name for task in both.challenger.card.tasks}
    trained = {*both.champion.card.lineage.releases}
    for task in (task.name for task in both.champion.card.tasks):
        if task not in known:
            yield Check(
                name="tasks", suite=task, passed=False, message=f"{task}: the champion answers it, this does not"
            )
            continue
        labelled = dataset.labelled(rows, task)
        asked = labelled[labelled["split"] == "test"]
        old, new = (_scored(both.engine, each, asked, task) for each in (both.champion, both.challenger))
        labels, groups = asked[dataset.label_column(task)].to_numpy(), asked["group"].to_numpy()
        release, spoken = asked["release"].to_numpy(), {*labelled["release"]}
        # A release without a row of this task taught nothing of it; where none has any, the first is an empty suite.
        for suite in suites(task, release, trained & spoken or {min(trained)}, limits.min_rows):
            yield compare(suite, labels, groups, old, new, limits)
        for name in sorted(spoken - trained):
            at = release == name
            less = allowed.min_gain_mcc
            yield gain(f"{task}/{name}", labels[at], groups[at], old.where(at), new.where(at), limits, least=less)
        at = np.isin(release, sorted(trained))
        yield agreement.calibration(task, labels[at], old.where(at), new.where(at), most=allowed.max_ece_increase)
        yield _probed(both, task, labelled[labelled["release"].isin(trained)], limits, allowed)
    yield from _golden(both, allowed)


def _probed(both: _Compared, name: str, rows: pd.DataFrame, limits: Limits, allowed: Gate) -> Check:
    """Whether the states still tell a task: a probe learns from the champion's own rows and answers its test rows."""
    drawn = np.random.default_rng(limits.seed)
    kept = [drawn.permutation(np.flatnonzero(rows["split"] == side))[: allowed.probe_rows] for side in ("train", "val")]
    used = rows.iloc[np.sort(np.concatenate([*kept, np.flatnonzero(rows["split"] == "test")]))]
    held = probe.Held(
        labels=used[dataset.label_column(name)].to_numpy(),
        groups=used["group"].to_numpy(str),
        splits=used["split"].to_numpy(str),
    )
    if told := probe.unfit(name, held, limits.min_rows):
        return told
    old, new = (_states(both.engine, each, used, name) for each in (both.champion, both.challenger))
    return probe.check(name, held, old, new, limits, most=allowed.max_probe_loss_mcc)


def _states(engine: Engine, adapter: Adapter, rows: pd.DataFrame, name: str) -> Floats:
    """What the head of a task sees of the encoder: the mean state, and of a site the state of its centre too."""
    centre = _centre(adapter, name)
    prepared = [engine.prepare(sequence, centre) for sequence in rows["sequence"]]
    if centre is None:
        return engine.logits([(each, adapter.slot) for each in prepared])[1]
    return engine.states(prepared, adapter.slot)


def _golden(both: _Compared, allowed: Gate) -> Iterator[Check]:
    """What the champion's golden sequences are answered, task by task."""
    asked = bundle.read_golden(both.champion.folder / "golden.json")
    prepared = [both.engine.prepare(each.sequence, each.centre) for each in asked]
    old, new = (
        both.engine.logits([(each, adapter.slot) for each in prepared])[0]
        for adapter in (both.champion, both.challenger)
    )
    for task in (task.name for task in both.champion.card.tasks):
        if task in {task.name for task in both.challenger.card.tasks}:
            before, after = _calibrated(both.champion, old, task), _calibrated(both.challenger, new, task)
            yield agreement.divergence(task, before, after, most=allowed.max_kl)
            yield agreement.flips(
                task, _called(both.champion, old, task), _called(both.challenger, new, task), most=allowed.max_flips
            )


def _scored(engine: Engine, adapter: Adapter, rows: pd.DataFrame, name: str) -> Scored:
    """Calibrated probabilities of one task, with the version's own temperature and threshold."""
    centre = _centre(adapter, name)
    prepared = [(engine.prepare(sequence, centre), adapter.slot) for sequence in rows["sequence"]]
    return _called(adapter, engine.logits(prepared)[0], name)


def _called(adapter: Adapter, logits: Floats, name: str) -> Scored:
    column = _column(adapter, name)
    return Scored(
        probabilities=adapter.probabilities(logits)[:, column], threshold=adapter.card.tasks[column].threshold
    )


def _calibrated(adapter: Adapter, logits: Floats, name: str) -> NDArray[np.float64]:
    """Logits of one task, divided by the version's own temperature."""
    column = _column(adapter, name)
    return logits[:, column].astype(np.float64) / adapter.card.tasks[column].temperature


def _centre(adapter: Adapter, name: str) -> int | None:
    """Base that a task's rows are centred on; None of a task that has none."""
    task = adapter.card.tasks[_column(adapter, name)]
    return task.window // 2 if task.scope == "site" and task.window is not None else None


def _column(adapter: Adapter, name: str) -> int:
    return [task.name for task in adapter.card.tasks].index(name)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except EpisomeError as error:
        sys.exit(f"gate: {error}")
