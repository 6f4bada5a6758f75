"""Answers as text: JSON lines, TSV, GFF3 and BED. GFF3 is the only one that counts from 1.

Every format is a function from answers to lines without a line end, so that a stream of any length can be written.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, Literal
from urllib.parse import quote

from episome.annotate import Feature
from episome.answer import Answer, Problem, Receipt, Refusal

Format = Literal["gff3", "bed", "tsv", "jsonl"]

# Sequence Ontology terms of the tasks that have one; anything else, and what was not called, is a region (SO:0000001).
_REGION: Final = "region"
_ONTOLOGY: Final[Mapping[str, str]] = {
    "promoter": "promoter",
    "promoter300": "promoter",
    "donor": "five_prime_cis_splice_site",
    "acceptor": "three_prime_cis_splice_site",
    "tis": "start_codon",
    "csorf": "ORF",
    "csorf_lenmatched": "ORF",
}
_TSV: Final = ("record", "start", "end", "strand", "task", "label", "score", "called", "flags", "species", "match")
# What GFF3 leaves as it is in the first column, and in attribute values.
_SEQID: Final = ".:^*$@!+_?-|"
_VALUE: Final = " .:^*$@!+_?-|/()[]<>#'\"{}~`\\"


def as_json(result: Answer | Refusal) -> dict[str, Any]:
    """The JSON object of one record: what HTTP answers with, and a line of JSON lines."""
    if isinstance(result, Refusal):
        return {"id": result.id, "status": "error", "problem": problem_json(result.problem)}
    clean = result.normalised
    return {
        "id": result.id,
        "status": "ok",
        "species": result.species,
        "simulated": result.simulated,
        "length": result.length,
        "normalised": {"lower_case": clean.lower_case, "uracil": clean.uracil, "ambiguous": clean.ambiguous},
        "tasks": {
            name: {
                "scope": task.scope,
                "threshold": task.threshold,
                "labels": list(task.labels),
                "scored": task.scored,
                "no_call": task.no_call,
                "features": [_feature(feature) for feature in task.features],
            }
            for name, task in result.tasks.items()
        },
        "match": asdict(result.match),
        "receipt": asdict(result.receipt),
    }


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem without the members that do not apply."""
    return {name: value for name, value in asdict(problem).items() if value is not None}


def jsonl(results: Iterable[Answer | Refusal]) -> Iterator[str]:
    """One JSON object a record, refused ones included."""
    for result in results:
        yield json.dumps(as_json(result), ensure_ascii=False, separators=(",", ":"))


def tsv(results: Iterable[Answer | Refusal]) -> Iterator[str]:
    """One line a feature under a header; 0-based half-open; an empty score is a window that got none.

    The receipt is a comment above the header, of any further species above its first record.
    """
    told: set[Receipt] = set()
    header = ["\t".join(_TSV)]
    for answer in _answers(results):
        yield from _receipt(answer, told)
        yield from header
        header = []
        for feature in _features(answer):
            yield "\t".join(_row(answer, feature))
    yield from header


def bed(results: Iterable[Answer | Refusal]) -> Iterator[str]:
    """BED6, score 0 to 1000; windows without a score are left out, since BED cannot say so.

    The receipt is a comment before the first record of each species.
    """
    told: set[Receipt] = set()
    for answer in _answers(results):
        yield from _receipt(answer, told)
        for feature in _features(answer):
            if feature.score is not None:
                cells = (feature.record, feature.start, feature.end, feature.label, round(feature.score * 1000))
                yield "\t".join((*map(str, cells), feature.strand))


def gff3(results: Iterable[Answer | Refusal]) -> Iterator[str]:
    """GFF3, 1-based and closed; the receipt stands before the first record of each species."""
    yield "##gff-version 3"
    told: set[Receipt] = set()
    for answer in _answers(results):
        yield from _receipt(answer, told)
        yield f"##sequence-region {_seqid(answer.id)} 1 {answer.length}"
        for feature in _features(answer):
            yield "\t".join(_gff3(answer, feature))


WRITERS: Final[Mapping[Format, Callable[[Iterable[Answer | Refusal]], Iterator[str]]]] = {
    "gff3": gff3,
    "bed": bed,
    "tsv": tsv,
    "jsonl": jsonl,
}


def _receipt(answer: Answer, told: set[Receipt]) -> Iterator[str]:
    """The receipt as a comment, where it was not told yet; `episome.receipts` reads it."""
    if answer.receipt not in told:
        told.add(answer.receipt)
        yield "# " + json.dumps({"simulated": answer.simulated, **asdict(answer.receipt)})


def _answers(results: Iterable[Answer | Refusal]) -> Iterator[Answer]:
    return (result for result in results if isinstance(result, Answer))


def _features(answer: Answer) -> list[Feature]:
    """Features of all tasks in the order of the record."""
    found = [feature for task in answer.tasks.values() for feature in task.features]
    return sorted(found, key=lambda feature: (feature.start, feature.end, feature.strand, feature.task))


def _feature(feature: Feature) -> dict[str, Any]:
    return {
        "start": feature.start,
        "end": feature.end,
        "strand": feature.strand,
        "label": feature.label,
        "score": feature.score,
        "called": feature.called,
        "flags": list(feature.flags),
    }


def _row(answer: Answer, feature: Feature) -> tuple[str, ...]:
    return (
        feature.record,
        str(feature.start),
        str(feature.end),
        feature.strand,
        feature.task,
        feature.label or "",
        "" if feature.score is None else f"{feature.score:.6f}",
        "yes" if feature.called else "no",
        ",".join(feature.flags),
        answer.species,
        answer.match.status,
    )


def _gff3(answer: Answer, feature: Feature) -> tuple[str, ...]:
    attributes: dict[str, tuple[str, ...]] = {
        "Name": (feature.label or "no_call",),
        "task": (feature.task,),
        "species": (answer.species,),
    }
    if feature.flags:
        attributes["flags"] = feature.flags
    if answer.match.status == "mismatch":
        attributes["looks_like"] = (answer.match.best_species,)
    return (
        _seqid(feature.record),
        "episome",
        _ONTOLOGY.get(feature.task, _REGION) if feature.called else _REGION,
        str(feature.start + 1),
        str(feature.end),
        "." if feature.score is None else f"{feature.score:.6f}",
        feature.strand,
        ".",
        ";".join(f"{name}={','.join(quote(v, safe=_VALUE) for v in values)}" for name, values in attributes.items()),
    )


def _seqid(record: str) -> str:
    return quote(record, safe=_SEQID)
