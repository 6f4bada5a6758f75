"""Stage `baselines`: k-mers and weight matrices trained on each species and tested on every one, no model involved."""

import json
import sys
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from episome import baseline, dataset, metrics, params, pwm
from episome.baseline import Scorer
from episome.params import Evaluate, Params
from episome.types import EpisomeError, Split, Task
from pipelines import paths

Parts = dict[Split, pd.DataFrame]
"""The rows of one species that carry a task's labels, by split."""

SPLITS: tuple[Split, ...] = ("train", "val", "test")
WHO = {"kmer": "k-mers", "pwm": "weight matrix"}


def main() -> None:
    """Write reports/baselines/ for the species whose rows exist; name the others."""
    settings = params.read()
    rows, missing = {}, {}
    for species in settings.species:
        path = paths.windows(species) / "rows.parquet"
        if path.exists():
            rows[species] = dataset.read(path)
        else:
            missing[species] = f"{path} is not there: `dvc repro windows@{species}` makes it"
    result = report(rows, missing, settings)
    paths.baselines().parent.mkdir(parents=True, exist_ok=True)
    paths.baselines().write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    page = markdown(result)
    paths.baselines_page().write_text(page, encoding="utf-8")
    print(page)


def report(rows: dict[str, pd.DataFrame], missing: dict[str, str], settings: Params) -> dict[str, Any]:
    """Scores of every baseline, task, training species and tested species.

    Args:
        rows: species → its rows.
        missing: species → why it has none.
        settings: tasks, numbers of the evaluation and the seed.
    """
    names = [name for name in settings.tasks if any(name in dataset.tasks(each) for each in rows.values())]
    return {
        "k": settings.evaluate.baseline_k,
        "confidence": settings.evaluate.confidence,
        "bootstrap": settings.evaluate.bootstrap,
        "missing": missing,
        "simulated": {species: settings.of(species).simulated for species in rows},
        "tasks": {name: _task(rows, settings.task(name), settings.evaluate, settings.seed) for name in names},
    }


def _task(rows: dict[str, pd.DataFrame], task: Task, numbers: Evaluate, seed: int) -> dict[str, Any]:
    parts, left_out = {}, {}
    for species, each in rows.items():
        if task.name in dataset.tasks(each):
            found = _parts(each, task.name)
            if why := _unfit(found, task):
                left_out[species] = why
            else:
                parts[species] = found
    fitted = {s: baseline.fit(p["train"], p["val"], task, numbers.baseline_k) for s, p in parts.items()}
    result: dict[str, Any] = {"species": {s: _counts(p, task.name) for s, p in parts.items()}, "left_out": left_out}
    if task.window is None:
        result["no_pwm"] = pwm.ABSENT
    for who in WHO if task.window is not None else ("kmer",):
        columns = {
            s: _tested(s, {t: fitted[t][who] for t in fitted}, p["test"], task.name, numbers, seed)
            for s, p in parts.items()
        }
        result[who] = {trained: {tested: columns[tested][trained] for tested in parts} for trained in fitted}
    return result


def _parts(rows: pd.DataFrame, task: str) -> Parts:
    asked = dataset.labelled(rows, task)
    return {split: asked[asked["split"] == split] for split in SPLITS}


def _unfit(parts: Parts, task: Task) -> str | None:
    """Why nothing can be fitted or tested: what the data gate stops must not stop the other species here."""
    if thin := [split for split, rows in parts.items() if rows[dataset.label_column(task.name)].nunique() < 2]:
        return f"only one class, or none, in {', '.join(thin)}"
    wrong = sum(int((rows["sequence"].str.len() != task.window).sum()) for rows in parts.values())
    if task.window is not None and wrong:
        return f"{wrong} rows are not {task.window} bases long"
    return None


def _counts(parts: Parts, task: str) -> dict[str, dict[str, int]]:
    labels = {split: rows[dataset.label_column(task)].to_numpy() for split, rows in parts.items()}
    return {s: {"positives": int((y == 1).sum()), "negatives": int((y == 0).sum())} for s, y in labels.items()}


def _tested(
    own: str, fitted: dict[str, Scorer], test: pd.DataFrame, task: str, numbers: Evaluate, seed: int
) -> dict[str, dict[str, Any]]:
    """Every training species on the test rows of one: AUROC, MCC at the training species' threshold.

    The species' own baseline is also held against each kind of negative alone; another's says how much AUROC was
    ``lost`` against the own one, on the same draws of groups.
    """
    labels, groups = test[dataset.label_column(task)].to_numpy(), test["group"].to_numpy()
    scores = {trained: scorer.score(list(test["sequence"])) for trained, scorer in fitted.items()}
    drawn = metrics.draws(groups, numbers.bootstrap, seed)
    areas = {trained: metrics.area_draws(labels, values, drawn)[0] for trained, values in scores.items()}
    answer = {}
    for trained, values in scores.items():
        cut = fitted[trained].threshold
        found = metrics.evaluate(
            labels,
            values,
            groups,
            threshold=cut,
            bootstrap=numbers.bootstrap,
            confidence=numbers.confidence,
            seed=seed,
        )
        answer[trained] = {name: found[name] for name in ("n", "groups", "auroc", "mcc")}
        if trained == own:
            kinds = baseline.against_kinds(test, labels, values, cut, numbers, seed)
            answer[trained]["negative_kinds"] = kinds
        else:
            lost = metrics.auroc(labels, scores[own]) - metrics.auroc(labels, values)
            answer[trained]["lost"] = _interval(lost, areas[own] - areas[trained], numbers.confidence)
    return answer


def _interval(value: float, resampled: NDArray[np.float64], confidence: float) -> dict[str, float]:
    low, high = np.nanquantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"value": round(value, 6), "low": round(float(low), 6), "high": round(float(high), 6)}


def markdown(result: dict[str, Any]) -> str:
    """The report as a page: a matrix of AUROC per task and baseline, then each species' own kinds of negatives."""
    simulated = [species for species, yes in result["simulated"].items() if yes]
    lines = [
        "# Baselines without a model",
        "",
        f"AUROC on test rows [{result['confidence']:.0%} interval, {result['bootstrap']} draws of whole groups]: "
        "trained on the species of the row, tested on that of the column, nothing adapted; lost: against the tested "
        "species' own baseline, on the same draws. k-mers: logistic regression "
        f"on 1- to {result['k']}-mers. Weight matrix: log-odds of single bases on the stretch that validation chose.",
        "",
        f"Simulated species: {', '.join(simulated) or 'none'}.",
        *(f"Missing: {species}: {why}." for species, why in result["missing"].items()),
    ]
    for name, task in result["tasks"].items():
        lines += ["", f"## {name}", ""]
        lines += [f"Left out: {species}: {why}.\n" for species, why in task["left_out"].items()]
        lines += [f"{task['no_pwm']}.\n"] if "no_pwm" in task else []
        for who in filter(task.__contains__, WHO):
            lines += _matrix(WHO[who], task[who])
        lines += _kinds(task)
    return "\n".join(lines) + "\n"


def _matrix(who: str, scores: dict[str, dict[str, Any]]) -> list[str]:
    """AUROC of each training species on each tested one; below, what was lost against the tested species' own."""
    heads = [f"{tested} (n = {found['n']})" for tested, found in next(iter(scores.values()), {}).items()]
    lines = [f"| {who}, trained on | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for row, cells in scores.items():
        lines.append(f"| {row} | {' | '.join(_shown(found['auroc']) for found in cells.values())} |")
    for row, cells in scores.items() if len(scores) > 1 else ():
        lost = [_shown(found["lost"], "+") if "lost" in found else "–" for found in cells.values()]
        lines.append(f"| lost with {row} | {' | '.join(lost)} |")
    return [*lines, ""]


def _kinds(task: dict[str, Any]) -> list[str]:
    """Each species by its own baselines: all positives against one kind of negative."""
    who = [name for name in WHO if name in task]
    lines = [
        f"| species | positives against | n | {' | '.join(WHO[name] for name in who)} |",
        "|---" * (len(who) + 3) + "|",
    ]
    for species, cells in task["kmer"].items():
        for kind, found in cells[species]["negative_kinds"].items():
            areas = [_shown(task[name][species][species]["negative_kinds"][kind]["auroc"]) for name in who]
            counts = f"{found['positives']} + {found['negatives']}"
            lines.append(f"| {species} | {kind} | {counts} | {' | '.join(areas)} |")
    return lines


def _shown(score: dict[str, float], sign: str = "") -> str:
    return f"{score['value']:{sign}.3f} [{score['low']:{sign}.3f}, {score['high']:{sign}.3f}]"


if __name__ == "__main__":
    try:
        main()
    except EpisomeError as error:
        sys.exit(f"baselines: {error}")
