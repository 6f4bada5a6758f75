"""The report's table and its definitions in words, for the page and for Markdown."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from episome.report import frames
from episome.report.cells import Grid
from episome.report.checks import Check
from episome.report.resources import RESOURCES

METHODS = {
    "scratch": "scratch (S)",
    "adapted": "adapted (M)",
    "zero_shot": "zero-shot (Z)",
    "head_only": "head only",
    "frozen_probe": "frozen base + linear probe",
    "full": "full fine-tuning",
    "kmer": "k-mer logistic regression",
    "word2vec_nb": "Word2Vec + naive Bayes",
    "cnn": "small CNN",
    "lstm": "small LSTM",
}
HEAD = (
    "method", "donor", "AUROC [interval]", "MCC [interval]", "n", "seeds (sd)",
    "AUROC − scratch [interval]", "p (Holm)", "p over seeds (least)",
)  # fmt: skip
DEFINITIONS = (
    ("c", "chance: the score of an answer that ignores the sequence; AUROC 0.5, MCC 0."),
    ("Z", "zero-shot: the donor's adapter, as it is, on the target's test rows."),
    ("M", "adapted: the donor's adapter, trained on the target under the transfer policy."),
    ("S", "scratch: a new adapter on the same base, trained on the target alone with the same budget."),
    ("U", "ceiling of a target: the best of S and of all M; picked on test rows, so a little too high."),
    ("interval", "percentile bootstrap over whole homology groups of test rows, of the mean over seeds; it is no "
     "interval over seeds. For MCC the ends are the means of the seeds' own ends."),
    ("sd", "standard deviation of AUROC over seeds, which the interval does not hold."),
    ("p (Holm)", "paired bootstrap over the same draws of groups, against scratch, two-sided; Holm over the lines "
     "of one target and task."),
    ("p over seeds", "exact sign flips of the differences by seed; in brackets the least that so many seeds can give."),
    ("transfer efficiency", "(M − c) / (U − c); performance loss is (U − M) / (U − c)."),
    ("data efficiency", "training rows that scratch needs over those that the donor's start needs, for the score of "
     "scratch on all rows; from learning curves."),
)  # fmt: skip


def table(frame: pd.DataFrame, task: str, target: str) -> list[list[str]]:
    """Lines of the table of one target and task, the cells as text."""
    part = frame[(frame["task"] == task) & (frame["target"] == target)]
    return [_line(line) for line in frames.lines(part)]


def _line(line: dict[str, Any]) -> list[str]:
    policy = f", {line['policy']}" if line["policy"] else ""
    seeds = f"{line['seeds']:.0f}" + (f" ({line['seed_sd']:.3f})" if pd.notna(line["seed_sd"]) else "")
    tested = pd.notna(line["gain"])
    over = f"{line['p_seeds']:.3f} ({line['p_seeds_smallest']:.3f})" if pd.notna(line["p_seeds"]) else "–"
    return [
        METHODS[str(line["method"])] + policy,
        "–" if line["donor"] == "base" else str(line["donor"]),
        _ends(line, "auroc"),
        _ends(line, "mcc"),
        f"{line['n']:.0f}",
        seeds,
        _ends(line, "gain", "+") if tested else "–",
        f"{line['p_holm']:.3f}" if tested else "–",
        over if tested else "–",
    ]


def _ends(line: dict[str, Any], name: str, sign: str = "") -> str:
    value, low, high = (line[f"{name}{end}"] for end in ("", "_low", "_high"))
    ends = f" [{low:{sign}.3f}, {high:{sign}.3f}]" if pd.notna(low) else ""
    return f"{value:{sign}.3f}{ends}"


def resources(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Head and lines of what each method's trainings took: mean over them, with the least and the most.

    Args:
        frame: `performance.table`.
    """
    body = []
    part = frame[frame["metric"].isin(RESOURCES)]
    for method, own in part.groupby("method", sort=True):
        line = [METHODS[str(method)]]
        for name in RESOURCES:
            (found,) = frames.lines(own[own["metric"] == name])
            ends = (
                f" [{found['low']:.3g}, {found['high']:.3g}] n = {found['n']:.0f}" if pd.notna(found["value"]) else ""
            )
            line.append(f"{found['value']:.3g}{ends}" if ends else "not measured")
        body.append(line)
    return ["method", *RESOURCES.values()], body


def notes(grid: Grid) -> list[str]:
    """What a reader must know of the study before its numbers."""
    setting = grid.setting
    found = []
    if setting.simulated:
        found.append("Simulated sequences. No living thing has them.")
    if setting.alone:
        found.append(
            "The heads of this study see the encoder alone. The platform's also see k-mers, which carry nothing over "
            "from a donor and would hide what adapters do; no score of this page is the platform's."
        )
    if grid.gaps:
        found.append(f"Reduced grid: {'; '.join(grid.gaps)}.")
    if setting.motif_divergence != 1:
        found.append(
            f"motif_divergence is {setting.motif_divergence:g}; 1 is the published drift between the species, so "
            "nothing here is to be compared with numbers of 1."
        )
    return found


def markdown(
    grid: Grid, frame: pd.DataFrame, took: pd.DataFrame, checks: Sequence[Check], correlations: Sequence[str]
) -> str:
    """``table.md``: notes, what did not hold, every method per target and task, definitions.

    Args:
        grid: of the study.
        frame: `scores.table`.
        took: `performance.table`.
        checks: what was hoped for.
        correlations: performance over distance in words.
    """
    lines = [f"# Transfer study: {grid.setting.world}", ""]
    lines += [f"**{note}**\n" for note in notes(grid)]
    lines += ["## What did not hold", ""]
    for check in checks:
        lines.append(f"- {state(check)}: {check.claim} ({check.words}).")
        lines += [f"  - {failure}" for failure in check.failures]
    lines += ["", "## Performance over distance", "", *(f"- {each}" for each in correlations)]
    for task in grid.tasks:
        for target in grid.targets(task):
            lines += ["", f"## {task} on {target}", "", *_marked(HEAD, table(frame, task, target))]
    head, body = resources(took)
    lines += [
        "",
        "## Resources",
        "",
        *_marked(head, body),
        "",
        "## Definitions",
        "",
        *(f"- **{name}**: {said}" for name, said in DEFINITIONS),
    ]
    return "\n".join(lines) + "\n"


def _marked(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(line)} |" for line in body)]


def state(check: Check) -> str:
    """Of a check, in a word or two."""
    return {True: "Holds", False: "Does not hold", None: "Not told by these runs"}[check.held]
