"""The model card of one version: what a bundle and the registry know, under the headings of Mitchell et al. (2019).

`build` gives it as values that JSON can hold, `markdown` writes those for people. Nothing is in it that no file says,
and no time: the same bundle gives the same card. (Model Cards for Model Reporting, doi:10.1145/3287560.3287596)
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from episome.card import CalibratedTask, Card
from episome.provenance import Provenance

FORMAT: Final = 1
UNKNOWN: Final = "not recorded: the bundle was made by an Episome that did not keep it"

_ASKS: Final = {
    "sequence": "the whole record",
    "window": "sliding windows of {window} bases",
    "site": "windows of {window} bases with {motif} at base {centre}, counted from 0",
}
_WHO: Final = {
    "test": "this model",
    "both_strands": "this model, mean of both strands",
    "baseline": "k-mer baseline",
    "pwm": "position-weight matrix",
}
_MEASURES: Final = ("mcc", "auroc", "auprc", "balanced_accuracy", "precision", "recall")
_SPECIAL = re.compile(r"([\\`*\[\]#|~$]|(?<!\w)_|_(?!\w))")


def build(
    card: Card,
    made: Provenance | None,
    *,
    bundle: str,
    git_commit: str,
    gate: str,
    version: str | None = None,
) -> dict[str, Any]:
    """The model card as values that JSON can hold.

    Args:
        card: of the bundle.
        made: what the bundle says of its rows; None where it is too old to say.
        bundle: its digest.
        git_commit: of the project when it was registered, or ``none``.
        gate: sha256 of its gate report.
        version: number in the registry; None where it has none yet.
    """
    return {
        "format": FORMAT,
        "simulated": card.simulated,
        "model_details": _details(card, made)
        | {"version": version, "bundle": bundle, "git_commit": git_commit, "gate": gate},
        "intended_use": _use(card),
        "factors": {task.name: _asks(task) for task in card.tasks},
        "metrics": _measured(card, made),
        "evaluation_data": _rows(made, ("val", "test")),
        "training_data": _training(card, made),
        "quantitative_analyses": {task.name: _scores(card, task.name) for task in card.tasks},
        "calibration": {task.name: _calibrated(card, task) for task in card.tasks},
        "lineage": asdict(card.lineage) | {"releases": list(card.lineage.releases)},
        "ethical_considerations": [
            "The bundle holds no row of its data: its golden sequences are random. It does hold what was learned: "
            "weights, calibration, and k-mer statistics of the training sequences.",
        ],
        "caveats_and_recommendations": [*_limits(card)],
    }


def headline(made: Mapping[str, Any]) -> str:
    """The card's first line, without its mark of a heading: whose it is, and whether the data are simulated."""
    kind = "SIMULATED data, not real DNA" if made["simulated"] else "real sequences"
    return f"Model card: {plain(made['model_details']['species'])} ({kind})"


def markdown(made: Mapping[str, Any]) -> str:
    """A model card for people; whatever anybody wrote into it stands there as text."""
    parts = [
        [f"# {headline(made)}", ""],
        ["## Model details", "", *_listing(made["model_details"])],
        ["## Intended use", "", *_uses(made["intended_use"])],
        ["## Factors", "", *_listing(made["factors"])],
        ["## Metrics", "", *_listing(made["metrics"])],
        ["## Training data", "", *_listing(made["training_data"])],
        ["## Evaluation data", "", *_listing(made["evaluation_data"])],
        ["## Quantitative analyses", "", "On test rows, as value [interval].", "", *_tables(made)],
        ["## Calibration", "", *_listing(made["calibration"])],
        ["## Lineage", "", *_listing(made["lineage"])],
        ["## Ethical considerations", "", *_items(made["ethical_considerations"])],
        ["## Caveats and recommendations", "", *_items(made["caveats_and_recommendations"])],
    ]
    return "\n".join(line for part in parts for line in part).rstrip("\n") + "\n"


def plain(text: str) -> str:
    """Text that Markdown, and HTML within it, take as that text: marks escaped, on one line."""
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _details(card: Card, made: Provenance | None) -> dict[str, Any]:
    lora = f"LoRA adapter (rank {card.lora.rank}, alpha {card.lora.alpha:g}, on {', '.join(card.lora.targets)})"
    return {
        "name": f"episome-{card.species}",
        "species": card.species,
        "scientific_name": card.scientific_name,
        "taxon_id": card.taxon_id,
        "model_type": f"{lora} and a linear head, on an encoder of DNABERT-2's architecture",
        "base": {"bundle": card.base} | (asdict(made.base) if made else {}),
    }


def _use(card: Card) -> dict[str, list[str]]:
    tasks = ", ".join(task.name for task in card.tasks)
    uses = [f"Annotating DNA of {card.scientific_name}: {tasks}. Its calls are candidates for a curator to confirm."]
    unfit = [
        "DNA of other species; the service flags a record that looks like another registered one.",
        "Diagnosis, treatment or any other decision about a person.",
        "Effects of variants: it was not tested on sequences that differ in single bases.",
    ]
    if card.simulated:
        uses = [f"Showing and testing the platform, on simulated genomes: {tasks}."]
        unfit.insert(0, "Real DNA of any kind: it was trained on invented genomes, which no living thing has.")
    return {
        "primary_intended_uses": uses,
        "primary_intended_users": ["bioinformaticians who annotate sequences", "curators who correct the answers"],
        "out_of_scope_uses": unfit,
    }


def _asks(task: CalibratedTask) -> dict[str, Any]:
    reads = _ASKS[task.scope].format(window=task.window, motif=task.motif, centre=(task.window or 0) // 2)
    return {"reads": reads, "strands": task.strands, "labels": list(task.labels)}


def _measured(card: Card, made: Provenance | None) -> dict[str, Any]:
    draws = (
        f"{made.bootstrap} bootstrap draws of whole homology groups, {made.confidence:.0%} of them" if made else None
    )
    return {
        "performance_measures": list(_MEASURES),
        "decision_thresholds": {task.name: task.threshold for task in card.tasks},
        "variation_approaches": draws or UNKNOWN,
    }


def _training(card: Card, made: Provenance | None) -> dict[str, Any]:
    return {
        "source": made.source if made else UNKNOWN,
        "licence": made.licence if made else UNKNOWN,
        "citation": made.citation if made else UNKNOWN,
        "rows_sha256": card.lineage.data,
        "release": card.lineage.release,
        "releases": list(card.lineage.releases),
    } | _rows(made, ("train",))


def _rows(made: Provenance | None, splits: Sequence[str]) -> dict[str, Any]:
    if made is None:
        return {"rows": UNKNOWN}
    return {
        "rows": {
            task: {split: asdict(counts) for split, counts in found.items() if split in splits}
            for task, found in made.rows.items()
        }
    }


def _of(card: Card, *keys: str) -> Mapping[str, Any]:
    """What the evaluation says under these keys; empty where it says nothing there."""
    found: Any = card.metrics
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _interval(value: Any) -> dict[str, float]:
    """``value`` and perhaps ``low`` and ``high`` of a measure; empty where it is none."""
    if not isinstance(value, Mapping) or not _number(value.get("value")):
        return {}
    return {name: float(value[name]) for name in ("value", "low", "high") if _number(value.get(name))}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scores(card: Card, task: str) -> dict[str, Any]:
    """Measures with their intervals by who is measured, and AUROC against each kind of negative."""
    scored = {who: {name: _interval(_of(card, task, who, name)) for name in _MEASURES} for who in _WHO}
    areas = {
        kind: _interval(_of(card, task, "negative_kinds", "model", kind, "auroc"))
        for kind in _of(card, task, "negative_kinds", "model")
    }
    test = _of(card, task, "test")
    return {
        "test_rows": {name: test[name] for name in ("n", "groups", "prevalence") if _number(test.get(name))},
        "scores": {
            who: kept for who, found in scored.items() if (kept := {name: one for name, one in found.items() if one})
        },
        "auroc_by_negative_kind": {kind: area for kind, area in areas.items() if area},
    }


def _calibrated(card: Card, task: CalibratedTask) -> dict[str, Any]:
    test = _of(card, task.name, "test")
    measured = {name: test[name] for name in ("brier", "ece", "ece_debiased") if _number(test.get(name))}
    return {"temperature": task.temperature, "threshold": task.threshold} | measured


def _limits(card: Card) -> Iterator[str]:
    """What the numbers themselves say against it, then what holds for every such model."""
    for task in card.tasks:
        own, other = (_interval(_of(card, task.name, who, "mcc")) for who in ("test", "baseline"))
        if not own:
            yield f"{task.name}: no evaluation is recorded."
        elif other and own.get("low", own["value"]) <= other["value"]:
            yield f"{task.name}: not shown to beat k-mer counts (MCC {_words(own)} against {_words(other)})."
        share = _of(card, task.name, "test").get("prevalence")
        if _number(share):
            yield (
                f"{task.name}: {share:.1%} of the test rows are positive. Where positives are rarer, as in a genome, "
                "precision is lower than here."
            )
    yield "Scores hold for sequences like the test rows; the service says when a record looks like another species."


def _uses(use: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, texts in sorted(use.items(), reverse=True):
        yield f"**{_title(name)}**"
        yield ""
        yield from _items(texts)


def _items(texts: Sequence[str]) -> list[str]:
    return [*(f"- {plain(text)}" for text in texts), ""]


def _listing(value: Mapping[str, Any]) -> list[str]:
    return [*(f"- {name}: {words}" for name, words in _flat(value)), ""]


def _flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as lines of name and words, by name: JSON keeps no order."""
    for key, inner in sorted(value.items()):
        name = f"{above} · {plain(str(key))}" if above else plain(str(key).replace("_", " "))
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, name)
        else:
            yield name, plain(_words(inner))


def _tables(made: Mapping[str, Any]) -> Iterator[str]:
    for task, found in sorted(made["quantitative_analyses"].items()):
        yield from (f"### {plain(task)}", "", *_listing(found["test_rows"]))
        lines = [
            [title, *(_words(scores[name]) if name in scores else "–" for name in _MEASURES)]
            for who, title in _WHO.items()
            if (scores := found["scores"].get(who))
        ]
        yield from _table(["scored", *map(_title, _MEASURES)], lines)
        kinds = [[plain(kind), _words(area)] for kind, area in sorted(found["auroc_by_negative_kind"].items())]
        yield from _table(["positives against", "AUROC"], kinds)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A table of cells that are Markdown already; nothing where there are no lines."""
    shown = [f"| {' | '.join(line)} |" for line in lines]
    return [] if not lines else [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *shown, ""]


def _title(name: str) -> str:
    words = name.replace("_", " ")
    return words.upper() if name in {"mcc", "auroc", "auprc"} else words.capitalize()


def _words(value: Any) -> str:
    """A value in words; ``{value, low, high}`` as value and interval."""
    if isinstance(value, Mapping) and "value" in value:
        interval = f" [{value['low']:.3f}, {value['high']:.3f}]" if {"low", "high"} <= value.keys() else ""
        return f"{value['value']:.3f}{interval}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    if value is None or value == {}:
        return "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return str(value) if isinstance(value, int) else f"{value:.4g}"
