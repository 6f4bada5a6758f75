"""Golden lines of the output formats, and what they say about coordinates."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from episome import formats, receipts
from episome.annotate import Feature, Strand
from episome.answer import AdapterReceipt, Answer, Problem, Receipt, Refusal, TaskAnswer
from episome.drift import Match
from episome.sequence import Normalised

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


def answered(*features: Feature, status: str = "match") -> Answer:
    task = TaskAnswer(
        scope="site", threshold=0.5, labels=("decoy", "donor"), scored=2, no_call=1, features=tuple(features)
    )
    return Answer(
        id="chr 1;=é",
        species="human_sim",
        simulated=True,
        length=100,
        normalised=Normalised(sequence="A" * 100, lower_case=4, uracil=3, ambiguous=2, n=1),
        tasks={"donor": task},
        match=Match(status="mismatch" if status == "mismatch" else "match", best_species="fly_sim", margin_nats=-12.5),
        receipt=RECEIPT,
    )


FEATURES = (
    found(40, 42, "-", None, ("edge", "no_call")),
    found(10, 12, "+", 0.75),
    found(10, 12, "-", 0.25),
)


def test_gff3_counts_from_one_and_escapes() -> None:
    lines = list(formats.gff3([answered(*FEATURES, status="mismatch"), BAD]))
    assert lines[0] == "##gff-version 3"
    assert json.loads(lines[1].removeprefix("# "))["adapter"]["version"] == "3"
    assert lines[2] == "##sequence-region chr%201%3B%3D%C3%A9 1 100"
    tail = "task=donor;species=human_sim"
    assert [line.split("\t")[1:] for line in lines[3:]] == [
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
    assert {line.split("\t")[0] for line in lines[3:]} == {"chr%201%3B%3D%C3%A9"}


def test_gff3_gives_each_receipt_once() -> None:
    lines = list(formats.gff3([answered(), answered()]))
    (told,) = (json.loads(line[2:]) for line in lines if line.startswith("# {"))
    assert isinstance(told.pop("simulated"), bool)
    assert told["adapter"]["version"] == RECEIPT.adapter.version
    assert sum(line.startswith("##sequence-region") for line in lines) == 2


def test_bed_counts_from_zero_and_leaves_out_what_has_no_score() -> None:
    told, *lines = formats.bed([answered(*FEATURES), BAD])
    assert receipts.of_text(told, "") == (RECEIPT,)
    assert lines == [
        "chr 1;=é\t10\t12\tdonor\t750\t+",
        "chr 1;=é\t10\t12\tdecoy\t250\t-",
    ]


def test_tsv_has_a_header_and_an_empty_score_for_no_call() -> None:
    told, *lines = formats.tsv([answered(*FEATURES), BAD])
    assert json.loads(told.removeprefix("# "))["simulated"] is True
    assert lines == [
        "record\tstart\tend\tstrand\ttask\tlabel\tscore\tcalled\tflags\tspecies\tmatch",
        "chr 1;=é\t10\t12\t+\tdonor\tdonor\t0.750000\tyes\t\thuman_sim\tmatch",
        "chr 1;=é\t10\t12\t-\tdonor\tdecoy\t0.250000\tno\t\thuman_sim\tmatch",
        "chr 1;=é\t40\t42\t-\tdonor\t\t\tno\tedge,no_call\thuman_sim\tmatch",
    ]


def test_tsv_of_nothing_is_a_header() -> None:
    assert [line.split("\t")[0] for line in formats.tsv([BAD])] == ["record"]


@pytest.mark.parametrize("name", ["gff3", "bed", "tsv"])
def test_each_receipt_is_told_once_above_its_first_record(name: formats.Format) -> None:
    other = replace(RECEIPT, adapter=replace(RECEIPT.adapter, species="fly_sim"))
    mine, theirs = answered(*FEATURES), replace(answered(*FEATURES), receipt=other, simulated=False)
    lines = list(formats.WRITERS[name]([mine, mine, theirs, mine, theirs]))
    told = [json.loads(line[2:]) for line in lines if line.startswith("# {")]
    assert [(each["adapter"]["species"], each["simulated"]) for each in told] == [
        ("human_sim", True),
        ("fly_sim", False),
    ]
    assert receipts.of_text("\n".join(lines), "") == (RECEIPT, other)


@pytest.mark.skipif(shutil.which("bedtools") is None, reason="bedtools is not installed (Debian package bedtools)")
@pytest.mark.parametrize("words", [["sort", "-i"], ["merge", "-i"], ["intersect", "-u", "-b", "answer.bed", "-a"]])
def test_bedtools_reads_the_bed_past_its_receipts(words: list[str], tmp_path: Path) -> None:
    first, second = (replace(found(at, at + 2, "+", 0.75), record="chr1") for at in (10, 40))
    other = replace(RECEIPT, adapter=replace(RECEIPT.adapter, species="fly_sim"))
    lines = formats.bed([answered(first), replace(answered(second), receipt=other)])
    (tmp_path / "answer.bed").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["bedtools", *words, "answer.bed"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert [line.split("\t")[:3] for line in done.stdout.splitlines()] == [["chr1", "10", "12"], ["chr1", "40", "42"]]


def test_json_lines_hold_every_record_and_nothing_that_does_not_apply() -> None:
    good, bad = (json.loads(line) for line in formats.jsonl([answered(FEATURES[1]), BAD]))
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
    assert good["match"] == {"status": "match", "best_species": "fly_sim", "margin_nats": -12.5}
    assert good["receipt"]["coordinate_system"] == "0-based half-open"
    assert "A" * 100 not in json.dumps(good)


@pytest.mark.parametrize("name", list(formats.WRITERS))
def test_no_line_holds_a_line_end(name: formats.Format) -> None:
    assert all("\n" not in line for line in formats.WRITERS[name]([answered(*FEATURES), BAD]))
