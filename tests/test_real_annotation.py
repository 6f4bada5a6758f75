"""The five real genome folders, read by the importer and by other hands: gffread, and plain text operations."""

import gzip
import random
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from episome import annotation, contigs
from episome.annotation import Transcript
from tests.hand_count import (
    COUNTS,
    FOLDERS,
    SHORTEST_INTRON,
    all_starts,
    annotation_of,
    between,
    by_hand,
    first_base,
    plain_fasta,
    read,
    stretch,
)


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest, shared: Path) -> Path:
    return shared / "data" / "genomes" / str(request.param)


def test_counts_are_those_of_a_count_by_hand(folder: Path) -> None:
    models, came = by_hand(annotation_of(folder)), annotation.read(annotation_of(folder)).transcripts
    spaces = {space for model in models.values() for space in between(model)}
    introns = {space for space in spaces if space[2] - space[1] + 1 >= SHORTEST_INTRON}
    starts = all_starts(models)
    tss = {first_base(model) for model in models.values()}
    counted = (len(models), len(introns), len(spaces - introns), len(tss), len(set(starts.values())))
    assert counted == COUNTS[folder.name][:1] + COUNTS[folder.name][2:]
    assert len({t.gene for t in came}) == COUNTS[folder.name][1]
    assert {t.id for t in came} == set(models)
    assert {(t.contig, a + 1, b, t.strand) for t in came for a, b in t.introns} == introns
    assert {(t.contig, a + 1, b, t.strand) for t in came for a, b in t.gaps} == spaces - introns
    assert {(t.contig, t.span[0] + 1 if t.strand == "+" else t.span[1], t.strand) for t in came} == tss
    assert {t.id for t in came if t.start_complete} == set(starts)
    assert {t.id for t in came if t.tss_complete} == {
        name for name, model in models.items() if model.own_line and not model.open_tss
    }
    assert {(t.contig, t.cds[0][0] + 1 if t.strand == "+" else t.cds[-1][1], t.strand) for t in came if t.cds} >= set(
        starts.values()
    )


def test_gffread_reads_the_same_models(folder: Path, tmp_path: Path) -> None:
    if not (gffread := shutil.which("gffread")):
        pytest.skip("gffread is not installed (Debian package gffread)")
    (tmp_path / "genes").write_bytes(gzip.decompress(annotation_of(folder).read_bytes()))
    columns = "@id,@chr,@strand,@exons,@cds"
    command = [gffread, str(tmp_path / "genes"), "--table", columns, "-o", str(tmp_path / "table")]
    subprocess.run(command, check=True, capture_output=True)
    rows = [line.split("\t") for line in (tmp_path / "table").read_text().splitlines()]
    # gffread also takes FlyBase's RNA-seq junctions, which have no Parent, for transcripts of one exon.
    theirs = {row[0]: row[1:] for row in rows if not row[0].startswith("FBsf")}
    models, came = by_hand(annotation_of(folder)), {t.id: t for t in annotation.read(annotation_of(folder)).transcripts}
    # It keeps one of two that are alike in a gene without a line of its own.
    alike = {name for name, t in came.items() if any(came[other].exons == t.exons for other in theirs)}
    assert set(theirs) <= set(came) == set(theirs) | alike
    assert len(set(came) - set(theirs)) == (folder.name == "fly_1pct")

    def spans(text: str) -> list[tuple[int, int]]:
        parts = [part.split("-") for part in text.split(",") if part != "."]
        return [(int(first) - 1, int(last)) for first, last in parts]

    for name, (contig, strand, exons, cds) in theirs.items():
        own = came[name]
        assert (own.contig, own.strand) == (contig, strand)
        # Of a transcript without a line of its own it loses exons (FBtr0299837: 6 of 14); the count by hand has them.
        if not models[name].own_line:
            continue
        assert list(own.exons) == spans(exons)
        # gffread adds stop codon lines to a CDS, so that only its 5' end is the same.
        five = 0 if strand == "+" else -1
        assert [part[five] for part in own.cds[five:][:1]] == [part[five] for part in spans(cds)[five:][:1]]


def test_gffread_turns_gtf_into_gff3_and_the_models_stay(folder: Path, tmp_path: Path) -> None:
    if not (gffread := shutil.which("gffread")):
        pytest.skip("gffread is not installed (Debian package gffread)")
    if folder.name == "fly_1pct":
        pytest.skip("is GFF3 already")
    (tmp_path / "genes.gtf").write_bytes(gzip.decompress(annotation_of(folder).read_bytes()))
    command = [gffread, str(tmp_path / "genes.gtf"), "--keep-genes", "-F", "-o", str(tmp_path / "genes.gff3")]
    subprocess.run(command, check=True, capture_output=True)

    def told(path: Path) -> dict[str, tuple[object, ...]]:
        return {
            t.id: (t.gene, t.contig, t.strand, t.exons, bool(t.cds), t.biotype, t.rank, t.tss_complete)
            for t in annotation.read(path).transcripts
        }

    assert told(tmp_path / "genes.gff3") == told(tmp_path / "genes.gtf")


def sites_by_hand(folder: Path) -> dict[tuple[str, str, str, int], str]:
    """(kind, strand, transcript, which of its sites) → the 30 bases from 10 before the site's first base."""
    plain, models = plain_fasta(folder / "genome.fa.gz"), by_hand(annotation_of(folder))
    found = {}

    def cut(kind: str, name: str, number: int, contig: str, first: int, strand: str) -> None:
        span = (first - 10, first + 19) if strand == "+" else (first - 19, first + 10)
        if span[0] >= 1 and span[1] <= len(plain[contig]):
            found[kind, strand, name, number] = stretch(plain[contig], *span, strand)

    for name, model in models.items():
        long = [space for space in between(model) if space[2] - space[1] + 1 >= SHORTEST_INTRON]
        for number, (contig, first, last, strand) in enumerate(long):
            donor, acceptor = (first, last - 1) if strand == "+" else (last, first + 1)
            cut("donor", name, number, contig, donor, strand)
            cut("acceptor", name, number, contig, acceptor, strand)
        contig, first, strand = first_base(model)
        cut("tss", name, 0, contig, first, strand)
    for name, (contig, first, strand) in all_starts(models).items():
        cut("start", name, 0, contig, first, strand)
    return found


def places(transcript: Transcript) -> dict[tuple[str, int], int]:
    """(kind, which) → the 0-based plus-strand position of a site's first base."""
    plus = transcript.strand == "+"
    found = {("tss", 0): transcript.span[0] if plus else transcript.span[1] - 1}
    for number, (start, end) in enumerate(transcript.introns):
        found["donor", number] = start if plus else end - 1
        found["acceptor", number] = end - 2 if plus else start + 1
    if transcript.start_complete:
        found["start", 0] = transcript.cds[0][0] if plus else transcript.cds[-1][1] - 1
    return found


def test_a_hundred_sites_of_each_kind_and_strand_are_right_base_by_base(folder: Path) -> None:
    expected = sites_by_hand(folder)
    transcripts = {t.id: t for t in annotation.read(annotation_of(folder)).transcripts}
    groups: dict[tuple[str, str], list[tuple[str, str, str, int]]] = defaultdict(list)
    for key in sorted(expected):
        groups[key[:2]].append(key)
    assert {strand for _, strand in groups} == {"+", "-"}
    share: dict[str, list[bool]] = defaultdict(list)
    with contigs.opened(folder / "genome.fa.gz", "n") as opened:
        for (kind, strand), keys in groups.items():
            for key in random.Random(3).sample(keys, min(100, len(keys))):
                own = transcripts[key[2]]
                at = places(own)[kind, key[3]]
                start = at - 10 if strand == "+" else at - 19
                bases = opened.fetch(own.contig, start, start + 30, strand)
                assert bases == expected[key], key
                share[kind].append(
                    bases[10:].startswith({"donor": "GT", "acceptor": "AG", "start": "ATG"}.get(kind, ""))
                )
    assert all(sum(hits) >= 0.8 * len(hits) for hits in share.values())
    assert all(share["start"])


def test_every_folder_is_sound(folder: Path) -> None:
    _, report = read(folder)
    assert report["atg"] == report["starts"] == COUNTS[folder.name][5]
    assert report["introns"] == COUNTS[folder.name][2]
    # The mouse's models in satellite DNA are the worst there is; docs/data.md tells of them.
    least = 98 / 111 if folder.name == "mouse_chr9" else 0.97
    assert report["gt_ag"] >= least * report["introns"]
