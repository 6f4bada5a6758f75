"""An annotation that fits its genome passes; one that is moved or turned is refused by what would mend it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from episome import contigs, soundness
from episome.annotation import Interval, Transcript
from episome.contigs import Contigs
from episome.sequence import reverse_complement
from episome.soundness import SoundnessError

GENE = 300
# Oriented positions in a gene of 300 bases: exons 20-100 and 200-280, CDS 40-100 and 200-260.
EXONS, CDS = ((20, 100), (200, 280)), ((40, 100), (200, 260))


def laid(genes: int, *, donor: str = "GT", acceptor: str = "AG", start: str = "ATG") -> tuple[str, list[Transcript]]:
    """Random genes on both strands, end to end, with these signals."""
    draw = random.Random(7)
    text, models = "", []
    for number in range(genes):
        gene = draw.choices("ACGT", k=GENE)
        gene[40:43], gene[100:102], gene[198:200] = list(start), list(donor), list(acceptor)
        strand = "+-"[number % 2]
        text += "".join(gene) if strand == "+" else reverse_complement("".join(gene))
        models.append(model(number, strand, EXONS, CDS))
    return text, models


def model(number: int, strand: str, exons: tuple[Interval, ...], cds: tuple[Interval, ...]) -> Transcript:
    def placed(spans: tuple[Interval, ...]) -> tuple[Interval, ...]:
        turned = spans if strand == "+" else tuple((GENE - b, GENE - a) for a, b in spans[::-1])
        return tuple((number * GENE + a, number * GENE + b) for a, b in turned)

    return Transcript(
        id=f"t{number}", gene=f"g{number}", contig="c", strand=strand, exons=placed(exons), cds=placed(cds), biotype="",
        family="", rank=2, start_complete=bool(cds), tss_complete=True,
    )  # fmt: skip


@contextmanager
def genome(folder: Path, text: str) -> Iterator[Contigs]:
    (folder / "genome.fa").write_text(f">c\n{text}\n")
    with contigs.opened(folder / "genome.fa", "n") as opened:
        yield opened


def moved(transcript: Transcript, start: int, end: int) -> Transcript:
    def shift(spans: tuple[Interval, ...]) -> tuple[Interval, ...]:
        return tuple((a + start, b + end) for a, b in spans)

    return replace(transcript, exons=shift(transcript.exons), cds=shift(transcript.cds))


def turned(transcript: Transcript) -> Transcript:
    return replace(transcript, strand="-" if transcript.strand == "+" else "+")


def test_what_fits_is_counted(tmp_path: Path) -> None:
    text, models = laid(10)
    with genome(tmp_path, text) as opened:
        # Isoforms with the same sites are one place each; a gap of four bases is no intron.
        gapped = model(0, "+", ((20, 60), (64, 100), (200, 280)), ())
        assert soundness.check(opened, [*models, *models, gapped], 1.0) == {
            "introns": 10, "gt_ag": 10, "gc_ag": 0, "at_ac": 0, "other": 0, "n": 0, "gaps": 1, "starts": 10, "atg": 10,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("donor", "acceptor", "kind"),
    [("GC", "AG", "gc_ag"), ("AT", "AC", "at_ac"), ("GT", "AC", "other"), ("NT", "AG", "n")],
)
def test_other_introns_are_counted_apart(tmp_path: Path, donor: str, acceptor: str, kind: str) -> None:
    text, models = laid(2, donor=donor, acceptor=acceptor)
    with genome(tmp_path, text) as opened:
        report = soundness.check(opened, models, 0.0)
        assert {name: report[name] for name in ("gt_ag", "gc_ag", "at_ac", "other", "n", kind)} == {
            "gt_ag": 0, "gc_ag": 0, "at_ac": 0, "other": 0, "n": 0, kind: 2,
        }  # fmt: skip
        # Where all are N nothing can be said against the annotation.
        if kind == "n":
            assert soundness.check(opened, models, 1.0) == report


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (turned, "They fit on the other strand$"),
        (lambda t: moved(t, 1, 1), r"They fit with every position moved by -1 \(are they 0-based\?\)$"),
        (lambda t: moved(t, -1, -1), r"They fit with every position moved by \+1 \(are they 0-based\?\)$"),
        (
            lambda t: moved(t, -1, 0),
            r"exon ends moved by \+0 and exon starts by \+1 \(are starts 0-based, as in BED\?\)",
        ),
        (lambda t: moved(turned(t), 3, 3), "They fit on the other strand and with every position moved by -3"),
        (lambda t: moved(t, 9, 9), "Neither the other strand nor a shift by up to 3 bases makes them fit"),
    ],
)
def test_a_spoilt_annotation_is_refused_by_what_would_mend_it(
    tmp_path: Path, spoil: Callable[[Transcript], Transcript], message: str
) -> None:
    text, models = laid(60)
    with genome(tmp_path, text) as opened:
        with pytest.raises(SoundnessError, match=rf"of 60 introns begin .* wanted: 80% .*{message}"):
            soundness.check(opened, list(map(spoil, models)), 0.8)
        without_introns = [replace(m, exons=(m.span,)) for m in map(spoil, models)]
        with pytest.raises(SoundnessError, match=r"of 60 coding sequences start with ATG; wanted: 80% .*fit"):
            soundness.check(opened, without_introns, 0.8)


def test_a_shift_of_the_coding_parts_alone_is_found(tmp_path: Path) -> None:
    text, models = laid(30)
    shifted = [replace(m, cds=moved(m, 1, 1).cds) for m in models]
    with genome(tmp_path, text) as opened, pytest.raises(SoundnessError, match="with every position moved by -1"):
        soundness.check(opened, shifted, 0.8)


def test_a_share_below_all_is_allowed_and_contig_ends_are_no_trouble(tmp_path: Path) -> None:
    text, models = laid(10)
    at_the_ends = [
        replace(models[0], id="first", exons=((0, 2), (30, 50)), cds=(), start_complete=False),
        replace(models[0], id="last", exons=((2900, 2970), (2998, 3000)), cds=(), start_complete=False),
    ]
    with genome(tmp_path, text) as opened:
        assert soundness.check(opened, [*models, *at_the_ends], 0.8)["introns"] == 12
        with pytest.raises(SoundnessError, match=r"wanted: 90%.*They fit on the other strand"):
            soundness.check(opened, [*map(turned, models), *at_the_ends], 0.9)


def test_start_codons_that_are_parted_or_not_complete_are_not_judged(tmp_path: Path) -> None:
    text, models = laid(2)
    parted = [model(0, "+", ((20, 42), (60, 280)), ((40, 42), (60, 280))), replace(models[1], start_complete=False)]
    with genome(tmp_path, text) as opened:
        assert soundness.check(opened, parted, 0.0)["starts"] == 0
