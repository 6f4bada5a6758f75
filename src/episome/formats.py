"""Answers as text: JSON lines, TSV, GFF3, BED and bedGraph. GFF3 is the only one that counts from 1.

Every format is a function from the pieces of answers to lines without a line end, so that a stream of any length can be
written. All but JSON lines state what made the answer in a comment before the first record of each species, and end
each record with a comment that says how many windows were scored, or why the record was refused.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, Literal
from urllib.parse import quote

from episome.annotate import Feature
from episome.answer import Answer, Event, Head, Problem, Receipt, Refusal, Tail
from episome.bedgraph import Tracks
from episome.reply import collected

Format = Literal["gff3", "bed", "bedgraph", "tsv", "jsonl"]

HALF_OPEN: Final = "0-based half-open"
CLOSED: Final = "1-based closed"

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
# Comments that wait for the next feature.
_HELD: Final = 1000
# What GFF3 leaves as it is in the first column, and in attribute values.
_SEQID: Final = ".:^*$@!+_?-|"
_VALUE: Final = " .:^*$@!+_?-|/()[]<>#'\"{}~`\\"


def as_json(result: Answer | Refusal) -> dict[str, Any]:
    """The JSON object of one record: what HTTP answers with, and a line of JSON lines."""
    if isinstance(result, Refusal):
        return {"id": result.id, "status": "error", "problem": problem_json(result.problem)}
    head, clean = result.head, result.head.normalised
    return {
        "id": head.id,
        "status": "ok",
        "species": head.species,
        "simulated": head.simulated,
        "length": head.length,
        "normalised": {"lower_case": clean.lower_case, "uracil": clean.uracil, "ambiguous": clean.ambiguous},
        "tasks": {
            name: {
                **asdict(task),
                **asdict(result.tail.counts[name]),
                "features": [_feature(feature) for feature in result.features if feature.task == name],
            }
            for name, task in head.tasks.items()
        },
        "match": asdict(head.match),
        "receipt": asdict(head.receipt),
    }


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem without the members that do not apply."""
    return {name: value for name, value in asdict(problem).items() if value is not None}


def jsonl(events: Iterable[Event]) -> Iterator[str]:
    """One JSON object a record, refused ones included; the features of one record are held at a time."""
    for result in collected(events):
        yield json.dumps(as_json(result), ensure_ascii=False, separators=(",", ":"))


def tsv(events: Iterable[Event]) -> Iterator[str]:
    """One line a feature under a header; 0-based half-open; an empty score is a window that got none.

    The comment on what made the first answer stands above the header.
    """
    header = ["\t".join(_TSV)]

    def opening(_: Head) -> Iterator[str]:
        while header:
            yield header.pop()

    yield from _lines(events, HALF_OPEN, opening, lambda head, feature: "\t".join(_row(head, feature)))
    yield from header


def bed(events: Iterable[Event]) -> Iterator[str]:
    """BED6, score 0 to 1000; windows without a score are left out, since BED cannot say so."""
    return _feature_last(_lines(events, HALF_OPEN, lambda _: (), _bed))


def gff3(events: Iterable[Event]) -> Iterator[str]:
    """GFF3, 1-based and closed."""

    def opening(head: Head) -> tuple[str]:
        return (f"##sequence-region {_seqid(head.id)} 1 {head.length}",)

    yield "##gff-version 3"
    yield from _feature_last(_lines(events, CLOSED, opening, lambda head, feature: "\t".join(_gff3(head, feature))))


def _feature_last(lines: Iterable[str]) -> Iterator[str]:
    """The same lines, comments at the end above the last feature: bedtools 2.30 aborts where one ends a file."""
    last: list[str] = []
    comments: list[str] = []
    for line in lines:
        if not line.startswith("#"):
            yield from (*last, *comments)
            last, comments = [line], []
        else:
            comments.append(line)
            if not last or len(comments) > _HELD:
                yield from comments
                comments = []
    yield from (*comments, *last)


def bedgraph(events: Iterable[Event]) -> Iterator[str]:
    """bedGraph, one track a species, task and strand over all records; where windows overlap, the highest score.

    All comments come first. The tracks are kept on disk until the last record is scored: nothing is given before.
    """
    told: set[Receipt] = set()
    with Tracks() as tracks:
        for event in events:
            for comment in _comments(event, HALF_OPEN, told):
                tracks.comment(comment)
            match event:
                case Head():
                    tracks.open(event.species, event.tasks)
                case Feature():
                    tracks.add(event)
                case _:
                    tracks.end_record()
        yield from tracks.lines()


WRITERS: Final[Mapping[Format, Callable[[Iterable[Event]], Iterator[str]]]] = {
    "gff3": gff3,
    "bed": bed,
    "bedgraph": bedgraph,
    "tsv": tsv,
    "jsonl": jsonl,
}


def refusal_comment(result: Refusal) -> str:
    """A refused record in the text formats."""
    return _comment({"record": result.id, "problem": problem_json(result.problem)})


def _lines(
    events: Iterable[Event],
    coordinates: str,
    opening: Callable[[Head], Iterable[str]],
    line: Callable[[Head, Feature], str | None],
) -> Iterator[str]:
    """Comments, what opens each record, and a line for each feature that has one."""
    told: set[Receipt] = set()
    head: Head | None = None
    for event in events:
        yield from _comments(event, coordinates, told)
        if isinstance(event, Head):
            head = event
            yield from opening(head)
        elif isinstance(event, Feature):
            assert head is not None, "a feature follows its head"
            text = line(head, event)
            if text is not None:
                yield text


def _comments(event: Event, coordinates: str, told: set[Receipt]) -> Iterator[str]:
    """The comment that an event brings; what made an answer is told once for each receipt."""
    match event:
        case Head() if event.receipt not in told:
            told.add(event.receipt)
            yield _made_with(event, coordinates)
        case Tail():
            counts = {name: asdict(count) for name, count in event.counts.items()}
            yield _comment({"record": event.id, "tasks": counts})
        case Refusal():
            yield refusal_comment(event)


def _made_with(head: Head, coordinates: str) -> str:
    """The receipt and what was asked; `episome.receipts` reads it.

    The receipt's own `coordinate_system` is that of JSON answers, and gives way to that of the lines.
    """
    made = asdict(head.receipt)
    del made["coordinate_system"]
    thresholds = {
        name: {"scope": task.scope, "threshold": task.threshold, "calibrated_threshold": task.calibrated_threshold}
        for name, task in head.tasks.items()
    }
    asked = {"report": head.wish.report, "strand": head.wish.strand, "regions": head.wish.regions is not None}
    return _comment({"simulated": head.simulated, "coordinates": coordinates, **asked, "tasks": thresholds, **made})


def _comment(value: Mapping[str, Any]) -> str:
    return f"# {json.dumps(value)}"


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


def _bed(_: Head, feature: Feature) -> str | None:
    if feature.score is None:
        return None
    cells = (feature.record, feature.start, feature.end, feature.label, round(feature.score * 1000), feature.strand)
    return "\t".join(map(str, cells))


def _row(head: Head, feature: Feature) -> tuple[str, ...]:
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
        head.species,
        head.match.status,
    )


def _gff3(head: Head, feature: Feature) -> tuple[str, ...]:
    attributes: dict[str, tuple[str, ...]] = {
        "Name": (feature.label or "no_call",),
        "task": (feature.task,),
        "species": (head.species,),
    }
    if feature.flags:
        attributes["flags"] = feature.flags
    if head.match.status == "mismatch":
        attributes["looks_like"] = (head.match.best_species,)
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
