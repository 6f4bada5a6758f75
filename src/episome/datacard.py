"""The dataset card of one task of one species: what is in the rows, where it came from, what was left out and why.

A card has no time stamp: equal rows and equal reports give equal bytes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from episome.contract import SHORTCUT
from episome.dataset import label_column, labelled
from episome.sequence import gc, n_share
from episome.sources import Source
from episome.split import SPLITS
from episome.types import Task

KINDS = {
    "cds_in_frame": "the motif in coding sequence, in the frame of translation",
    "cds_out_of_frame": "the motif in coding sequence, out of the frame of translation",
    "exon": "the motif inside an exon",
    "gene_body": "window of a gene after its first exon",
    "in_gene": "window inside a gene, without what is asked for",
    "intergenic": "place outside every gene",
    "intron": "the motif inside an intron",
    "none": "sequence to which no label that is stated applies",
    "opposite_strand": "the site's own window, read on the other strand",
    "other": "sequence to which the label of another task applies",
    "other_content": "window with what another contains_ task asks for, without what this one does",
    "shifted": "window at a distance from a transcription start",
    "utr": "the motif in an untranslated part of an exon",
}
"""What the kinds of negatives are; a kind that a source brings has the source's name."""

OWN_KIND = "as the source has it"
_ELSEWHERE = {"tasks", "sets", "rows", "species"}
_LISTED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a card says beside the rows themselves.

    Attributes:
        species: key in params.yaml.
        scientific_name: of the species.
        taxon_id: NCBI's.
        simulated: whether the data are made up.
        release: labelled rows added to the source, or ``none``.
        source: where the data came from; with licence and citation.
        sha256: of the file that holds the rows.
        windows: report of the stage that made the rows.
        check: result of the data gate; None where it has not run.
        homology: report on related genes across species; None where there is none.
    """

    species: str
    scientific_name: str
    taxon_id: int
    simulated: bool
    release: str
    source: Source
    sha256: str
    windows: Mapping[str, Any]
    check: Mapping[str, Any] | None
    homology: Mapping[str, Any] | None


def card(rows: pd.DataFrame, task: Task, facts: Facts) -> dict[str, Any]:
    """The card of one task, as values that JSON can hold.

    Args:
        rows: of the species, all tasks and splits (`episome.dataset`).
        task: whose card.
        facts: what is not in the rows.
    """
    asked = labelled(rows, task.name)
    labels = asked[label_column(task.name)]
    source = facts.source.model_dump(mode="json")
    return {
        "species": facts.species,
        "scientific_name": facts.scientific_name,
        "taxon_id": facts.taxon_id,
        "task": task.name,
        "simulated": facts.simulated,
        "asks": {"scope": task.scope, "window": task.window, "motif": task.motif, "strands": task.strands},
        "source": source,
        "origins": _sizes(asked["origin"]),
        "releases": _sizes(asked["release"]),
        "rows_sha256": facts.sha256,
        "rows": {split: _counts(asked[asked["split"] == split], task) for split in SPLITS},
        "classes": {name: _content(asked[labels == label]) for label, name in reversed(list(enumerate(task.labels)))},
        "negative_kinds": {
            str(kind): _content(some) | {"means": KINDS.get(str(kind), OWN_KIND)}
            for kind, some in asked[labels == 0].groupby("negative_kind", sort=True)
        },
        "contigs": len(set(asked["contig"]) - {""}),
        "groups": int(asked["group"].nunique()),
        "how_made": {name: value for name, value in facts.windows.items() if name not in _ELSEWHERE},
        "task_report": _of_task(facts.windows, task.name),
        "homology": facts.homology,
        "data_gate": _gate(facts.check, task.name),
    }


def _sizes(values: "pd.Series[str]") -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}


def _counts(rows: pd.DataFrame, task: Task) -> dict[str, Any]:
    labels = rows[label_column(task.name)]
    return {
        "rows": len(rows),
        "positives": int((labels == 1).sum()),
        "negatives": int((labels == 0).sum()),
        "groups": int(rows["group"].nunique()),
        "negative_kinds": _sizes(rows["negative_kind"][labels == 0]),
    }


def _content(rows: pd.DataFrame) -> dict[str, Any]:
    """Lengths in bases; the other numbers are shares of a row's bases, averaged over rows. None where no row is."""
    if rows.empty:
        return {"rows": 0, "length": None, "gc": None, "n_share": None, "lower_case": None}
    lengths = rows["sequence"].str.len().to_numpy()
    shares = rows["sequence"].map(gc).to_numpy(np.float64)
    return {
        "rows": len(rows),
        "length": {"min": int(lengths.min()), "median": float(np.median(lengths)), "max": int(lengths.max())},
        "gc": {"mean": round(float(shares.mean()), 4), "sd": round(float(shares.std()), 4)},
        "n_share": round(float(rows["sequence"].map(n_share).mean()), 6),
        "lower_case": round(float(rows["lower_case"].astype(np.float64).mean()), 4),
    }


def _of_task(report: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    """What the report on the rows says of one task: under ``tasks`` for genomes, under ``sets`` for labelled data."""
    for part in ("tasks", "sets"):
        if task in report.get(part, {}):
            return {name: value for name, value in report[part][task].items() if name != "rows"}  # the card counts
    return {}


def _gate(check: Mapping[str, Any] | None, task: str) -> dict[str, Any] | None:
    if check is None:
        return None
    rules = [rule for rule in check["rules"] if rule["task"] == task]
    shown = ("observed", "wanted", "passed")
    return {
        "passed": check["passed"],
        "failed_rules": sorted({rule["rule"] for rule in rules if not rule["passed"]}),
        "shortcuts": {
            rule["rule"].removeprefix(SHORTCUT): {name: rule[name] for name in shown}
            for rule in rules
            if rule["rule"].startswith(SHORTCUT)
        },
    }


def markdown(made: Mapping[str, Any]) -> str:
    """A card as a page for people."""
    name = made["scientific_name"]
    kind = "**Simulated sequences. No living thing has them.**" if made["simulated"] else "Real sequences."
    parts = [
        [f"# Dataset card: {made['species']}, {made['task']}", "", kind, ""],
        _table(["", ""], [[label, value] for label, value in origin(made)]),
        [f"Taxon: *{name}* (NCBI {made['taxon_id']}).", "", "## Rows", "", *_table(*counts(made))],
        ["## Sequences", "", "Shares are means over rows. Soft-masked bases as they came; models never see case.", ""],
        _table(*contents(made)),
        ["## Splits and relatives", "", *_listing(made["how_made"])],
        _listing({"homology": made["homology"] or "no report: related genes were looked for in no other species"}),
        ["## What was dropped, and what was found on the way", "", *_listing(made["task_report"])],
        ["## Data gate", "", *_table(*shortcuts(made))],
    ]
    return "\n".join(line for part in parts for line in part).rstrip("\n") + "\n"


def origin(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where the rows came from, as label and words."""
    source = made["source"]
    extra = {name: value for name, value in source.items() if value is not None and name not in {"kind", "folder"}}
    asks = ", ".join(f"{name} {value}" for name, value in made["asks"].items() if value is not None)
    return [
        ("Question", asks),
        ("Source", f"{source['kind']}, {source['folder']}"),
        *((name.replace("_", " ").capitalize(), _words(value)) for name, value in extra.items()),
        ("Origin of rows", _words(made["origins"])),
        ("Rows by release (none: the source's own)", _words(made["releases"])),
        ("Contigs with rows", f"{made['contigs']:,}"),
        ("Groups of related rows", f"{made['groups']:,}"),
        ("sha256 of rows.parquet", made["rows_sha256"]),
    ]


def counts(made: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table of rows by split, class and kind of negative."""
    kinds = list(made["negative_kinds"])
    head = ["split", "rows", "groups", "positives", "negatives", *(f"… {kind or 'unnamed'}" for kind in kinds)]
    lines = []
    for split, part in made["rows"].items():
        numbers = [part[name] for name in ("rows", "groups", "positives", "negatives")]
        numbers += [part["negative_kinds"].get(kind, 0) for kind in kinds]
        lines.append([split, *(f"{number:,}" for number in numbers)])
    return head, lines


def contents(made: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table of lengths, GC, N and case by class and kind of negative."""
    head = ["rows of", "n", "length, bp (min / median / max)", "GC, mean ± sd", "N", "soft-masked", "what it is"]
    named = [(name, part, "") for name, part in made["classes"].items()]
    named += [(f"… {kind or 'unnamed'}", part, part["means"]) for kind, part in made["negative_kinds"].items()]
    return head, [[name, *_content_words(part), means] for name, part, means in named]


def _content_words(part: Mapping[str, Any]) -> list[str]:
    if not part["rows"]:
        return ["0", "–", "–", "–", "–"]
    lengths = " / ".join(f"{part['length'][name]:,.0f}" for name in ("min", "median", "max"))
    shares = f"{part['gc']['mean']:.3f} ± {part['gc']['sd']:.3f}"
    return [f"{part['rows']:,}", lengths, shares, f"{part['n_share']:.4f}", f"{part['lower_case']:.3f}"]


def shortcuts(made: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table of what the data gate says."""
    gate, head = made["data_gate"], ["question", "observed", "wanted", "verdict"]
    if gate is None:
        return head, [["all rules", "–", "the data gate has not run", "–"]]
    verdict = "holds" if gate["passed"] else f"failed for the species; here: {_words(gate['failed_rules'])}"
    lines = [["all rules", "–", "every rule of the data gate", verdict]]
    for name, found in gate["shortcuts"].items():
        seen = "–" if found["observed"] is None else _words(found["observed"])
        lines.append([f"told apart by {name}", seen, found["wanted"], "holds" if found["passed"] else "FAILED"])
    return head, lines


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A nested report as lines of name and words; long lists are counted, card.json has them whole."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{name} · {key}" if name else str(key))
        return
    if isinstance(value, list | tuple) and (len(value) > _LISTED or any(isinstance(v, Mapping) for v in value)):
        yield name, f"{len(value)} (in card.json)"
        return
    yield name, _words(value)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key or 'unnamed'}: {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _listing(value: Any) -> list[str]:
    return [*(f"- {name}: {words}" for name, words in flat(value)), ""]


def _table(head: list[str], lines: list[list[str]]) -> list[str]:
    shown = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(line)} |" for line in shown), ""]
