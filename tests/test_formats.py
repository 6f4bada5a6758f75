"""Golden lines of the output formats, and what they say about coordinates."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from episome import formats, receipts
from episome.annotate import Feature, Strand
from episome.answer import (
    AdapterReceipt,
    Answer,
    Count,
    Event,
    Head,
    Problem,
    Receipt,
    Refusal,
    Tail,
    TaskHead,
    Wish,
)
from episome.drift import Match
from episome.sequence import Normalised
from episome.stitch import place

RECEIPT = Receipt(
    tool="episome 0.1.0",
    base="b" * 64,
    adapter=AdapterReceipt(species="human_sim", version="3", bundle="a" * 64),
    data="d" * 64,
    git_commit="c" * 40,
    gate="e" * 64,
    provider="CPUExecutionProvider",
)
BAD = Refusal(
    id="bad",
    problem=Problem(
        type="urn:episome:problem:character",
        title="Not a nucleotide",
        status=422,
        detail="character '-'",
        record="bad",
        position=3,
        character="-",
    ),
)


def found(start: int, end: int, strand: Strand, score: float | None, flags: tuple[str, ...] = ()) -> Feature:
    called = score is not None and score >= 0.5
    label = None if score is None else ("donor" if called else "decoy")
    return Feature(
        record="chr 1;=é",
        start=start,
        end=end,
        strand=strand,
        task="donor",
        label=label,
        score=score,
        called=called,
        flags=flags,
    )


def answered(*features: Feature, status: str = "match", receipt: Receipt = RECEIPT, simulated: bool = True) -> Answer:
    task = TaskHead(scope="site", threshold=0.5, calibrated_threshold=0.4, labels=("decoy", "donor"))
    head = Head(
        id="chr 1;=é",
        species=receipt.adapter.species,
        simulated=simulated,
        length=100,
        normalised=Normalised(sequence="A" * 100, lower_case=4, uracil=3, ambiguous=2, n=1),
        tasks={"donor": task},
        wish=Wish(threshold=0.5),
        match=Match(status="mismatch" if status == "mismatch" else "match", best_species="fly_sim", margin_nats=-12.5),
        receipt=receipt,
    )
    tail = Tail(id="chr 1;=é", counts={"donor": Count(scored=2, no_call=1)})
    return Answer(head=head, features=features, tail=tail)


def pieces(*results: Answer | Refusal) -> Iterator[Event]:
    """The results as they come while they are made."""
    for result in results:
        if isinstance(result, Answer):
            yield result.head
            yield from result.features
            yield result.tail
        else:
            yield result


FEATURES = (
    found(10, 12, "+", 0.75),
    found(10, 12, "-", 0.25),
    found(40, 42, "-", None, ("edge", "no_call")),
)
COUNTED = '# {"record": "chr 1;=\\u00e9", "tasks": {"donor": {"scored": 2, "no_call": 1}}}'
REFUSED = (
    '# {"record": "bad", "problem": {"type": "urn:episome:problem:character", "title": "Not a nucleotide", '
    '"status": 422, "detail": "character \'-\'", "record": "bad", "position": 3, "character": "-"}}'
)


def test_gff3_counts_from_one_and_escapes() -> None:
    lines = list(formats.gff3(pieces(answered(*FEATURES, status="mismatch"), BAD)))
    assert lines[0] == "##gff-version 3"
    assert json.loads(lines[1].removeprefix("# "))["adapter"]["version"] == "3"
    assert lines[2] == "##sequence-region chr%201%3B%3D%C3%A9 1 100"
    assert lines[5:7] == [COUNTED, REFUSED]
    tail = "task=donor;species=human_sim"
    assert [line.split("\t")[1:] for line in (*lines[3:5], lines[7])] == [
        [
            "episome",
            "five_prime_cis_splice_site",
            "11",
            "12",
            "0.750000",
            "+",
            ".",
            f"Name=donor;{tail};looks_like=fly_sim",
        ],
        ["episome", "region", "11", "12", "0.250000", "-", ".", f"Name=decoy;{tail};looks_like=fly_sim"],
        ["episome", "region", "41", "42", ".", "-", ".", f"Name=no_call;{tail};flags=edge,no_call;looks_like=fly_sim"],
    ]
    assert {line.split("\t")[0] for line in (*lines[3:5], lines[7])} == {"chr%201%3B%3D%C3%A9"}


@pytest.mark.parametrize("name", ["gff3", "bed", "bedgraph", "tsv"])
def test_the_first_comment_says_what_made_the_answer_and_what_was_asked(name: formats.Format) -> None:
    told = next(line for line in formats.WRITERS[name](pieces(answered())) if line.startswith("# "))
    assert json.loads(told.removeprefix("# ")) == {
        "simulated": True,
        "coordinates": "1-based closed" if name == "gff3" else "0-based half-open",
        "report": "calls",
        "strand": "both",
        "regions": False,
        "tasks": {"donor": {"scope": "site", "threshold": 0.5, "calibrated_threshold": 0.4}},
        "tool": "episome 0.1.0",
        "base": "b" * 64,
        "adapter": {"species": "human_sim", "version": "3", "bundle": "a" * 64},
        "data": "d" * 64,
        "git_commit": "c" * 40,
        "gate": "e" * 64,
        "provider": "CPUExecutionProvider",
    }


def test_bed_counts_from_zero_and_leaves_out_what_has_no_score() -> None:
    told, *lines = formats.bed(pieces(answered(*FEATURES), BAD))
    assert receipts.of_text(told, "") == (RECEIPT,)
    assert lines == ["chr 1;=é\t10\t12\tdonor\t750\t+", COUNTED, REFUSED, "chr 1;=é\t10\t12\tdecoy\t250\t-"]


@pytest.mark.parametrize("held", [0, 1000])
def test_comments_after_the_last_feature_stand_above_it_however_many(
    held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_HELD", held)
    lines = list(formats.bed(pieces(answered(*FEATURES), BAD, answered(), BAD)))
    assert [line for line in lines if not line.startswith("#")] == [lines[1], lines[-1]]
    assert lines[2:-1] == [COUNTED, REFUSED, COUNTED, REFUSED]


def test_tsv_has_a_header_and_an_empty_score_for_no_call() -> None:
    told, *lines = formats.tsv(pieces(answered(*FEATURES), BAD))
    assert json.loads(told.removeprefix("# "))["simulated"] is True
    assert lines == [
        "record\tstart\tend\tstrand\ttask\tlabel\tscore\tcalled\tflags\tspecies\tmatch",
        "chr 1;=é\t10\t12\t+\tdonor\tdonor\t0.750000\tyes\t\thuman_sim\tmatch",
        "chr 1;=é\t10\t12\t-\tdonor\tdecoy\t0.250000\tno\t\thuman_sim\tmatch",
        "chr 1;=é\t40\t42\t-\tdonor\t\t\tno\tedge,no_call\thuman_sim\tmatch",
        COUNTED,
        REFUSED,
    ]


def test_tsv_of_nothing_is_a_header() -> None:
    refused, header = formats.tsv(pieces(BAD))
    assert (refused, header.split("\t")[0]) == (REFUSED, "record")


def test_bedgraph_has_a_track_a_strand_over_all_records_below_every_comment() -> None:
    one, other = (
        [replace(each, record=name) for each in (found(10, 30, "+", 0.75), found(20, 40, "+", 0.25), *FEATURES[1:])]
        for name in ("one", "two")
    )
    made, *lines = formats.bedgraph(pieces(answered(*one), BAD, answered(*other)))
    assert receipts.of_text(made, "") == (RECEIPT,)
    assert lines == [
        COUNTED,
        REFUSED,
        COUNTED,
        'track type=bedGraph name="human_sim donor +"',
        *(
            "\t".join((each, *cells))
            for each in ("one", "two")
            for cells in (("10", "30", "0.750000"), ("30", "40", "0.250000"))
        ),
        'track type=bedGraph name="human_sim donor -"',
        *(f"{each}\t10\t12\t0.250000" for each in ("one", "two")),
    ]


@pytest.mark.parametrize("name", ["gff3", "bed", "bedgraph", "tsv"])
def test_each_receipt_is_told_once_above_its_first_record(name: formats.Format) -> None:
    other = replace(RECEIPT, adapter=replace(RECEIPT.adapter, species="fly_sim"))
    mine, theirs = answered(*FEATURES), answered(*FEATURES, receipt=other, simulated=False)
    lines = list(formats.WRITERS[name](pieces(mine, mine, theirs, mine, theirs)))
    told = [json.loads(line[2:]) for line in lines if line.startswith('# {"simulated"')]
    assert [(each["adapter"]["species"], each["simulated"]) for each in told] == [
        ("human_sim", True),
        ("fly_sim", False),
    ]
    assert receipts.of_text("\n".join(lines), "") == (RECEIPT, other)


@pytest.mark.skipif(shutil.which("bedtools") is None, reason="bedtools is not installed (Debian package bedtools)")
@pytest.mark.parametrize("words", ["sort -i", "merge -i", "intersect -u -b answer -a"])
@pytest.mark.parametrize("name", ["gff3", "bed", "bedgraph"])
def test_bedtools_reads_the_features_past_every_comment(name: formats.Format, words: str, tmp_path: Path) -> None:
    first, second = (replace(found(at, at + 2, "+", 0.75), record="chr1") for at in (10, 40))
    lines = formats.WRITERS[name](pieces(answered(first), BAD, answered(second), answered(), BAD))
    (tmp_path / "answer").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["bedtools", *words.split(), "answer"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    as_gff3 = name == "gff3" and not words.startswith("merge")
    starts = [int(line.split("\t")[3 if as_gff3 else 1]) - as_gff3 for line in done.stdout.splitlines()]
    assert starts == [10, 40]


@pytest.mark.skipif(shutil.which("gt") is None, reason="GenomeTools is not installed (Debian package genometools)")
def test_genometools_finds_the_gff3_valid(tmp_path: Path) -> None:
    lines = formats.gff3(pieces(answered(*FEATURES, status="mismatch"), BAD))
    (tmp_path / "answer.gff3").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["gt", "gff3validator", "answer.gff3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("input is valid GFF3\n", "")


def test_json_lines_hold_every_record_and_nothing_that_does_not_apply() -> None:
    good, bad = (json.loads(line) for line in formats.jsonl(pieces(answered(FEATURES[0]), BAD)))
    assert bad == {
        "id": "bad",
        "status": "error",
        "problem": {
            "type": "urn:episome:problem:character",
            "title": "Not a nucleotide",
            "status": 422,
            "detail": "character '-'",
            "record": "bad",
            "position": 3,
            "character": "-",
        },
    }
    assert good["normalised"] == {"lower_case": 4, "uracil": 3, "ambiguous": 2}
    assert good["tasks"]["donor"]["features"] == [
        {"start": 10, "end": 12, "strand": "+", "label": "donor", "score": 0.75, "called": True, "flags": []}
    ]
    assert (good["tasks"]["donor"]["threshold"], good["tasks"]["donor"]["calibrated_threshold"]) == (0.5, 0.4)
    assert (good["tasks"]["donor"]["scored"], good["tasks"]["donor"]["no_call"]) == (2, 1)
    assert good["match"] == {"status": "match", "best_species": "fly_sim", "margin_nats": -12.5}
    assert good["receipt"]["coordinate_system"] == "0-based half-open"
    assert "A" * 100 not in json.dumps(good)


FOUND = st.lists(
    st.builds(
        lambda start, size, strand, score: replace(found(start, start + size, strand, score), record="chr1"),
        st.integers(0, 10**9),
        st.integers(1, 10**4),
        st.sampled_from("+-"),
        st.none() | st.floats(0, 1).map(lambda x: round(x, 6)),
    ),
    max_size=20,
)


@given(FOUND)
def test_every_format_says_the_same_of_the_same_features(drawn: list[Feature]) -> None:
    features = sorted(drawn, key=place)
    written = {name: list(write(pieces(answered(*features)))) for name, write in formats.WRITERS.items()}
    rows = {name: [line.split("\t") for line in lines if line[0] != "#"] for name, lines in written.items()}
    scored = [each for each in features if each.score is not None]
    spans = [(each.start, each.end, each.strand, each.score) for each in features]

    def score(cell: str) -> float | None:
        return None if cell in ("", ".") else float(cell)

    assert [(int(r[1]), int(r[2]), r[3], score(r[6])) for r in rows["tsv"][1:]] == spans
    assert [(int(r[3]) - 1, int(r[4]), r[6], score(r[5])) for r in rows["gff3"]] == spans
    assert [(int(r[1]), int(r[2]), r[5]) for r in rows["bed"]] == [
        (each.start, each.end, each.strand) for each in scored
    ]
    assert [int(r[4]) for r in rows["bed"]] == [round(1000 * each.score) for each in scored if each.score is not None]
    (line,) = written["jsonl"]
    listed = json.loads(line)["tasks"]["donor"]["features"]
    assert [(each["start"], each["end"], each["strand"], each["score"]) for each in listed] == spans
    pieces_of = [row for row in rows["bedgraph"] if len(row) == 4]
    assert max((int(row[2]) for row in pieces_of), default=0) == max((each.end for each in scored), default=0)


@pytest.mark.parametrize("name", list(formats.WRITERS))
def test_no_line_holds_a_line_end(name: formats.Format) -> None:
    assert all("\n" not in line for line in formats.WRITERS[name](pieces(answered(*FEATURES), BAD)))
