"""Gene models from GTF and GFF3: the same model from both, and every dialect's own ways."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from episome import annotation
from episome.annotation import AnnotationError, Interval, Transcript
from tests import tiny_genome


def parse(folder: Path, *lines: str) -> list[Transcript]:
    (folder / "genes").write_text("\n".join(lines) + "\n")
    return annotation.read(folder / "genes").transcripts


def gtf(
    feature: str, first: int, last: int, transcript: str = "t", *, gene: str = "g", at: str = "1+", phase: str = ".",
    more: str = "",
) -> str:  # fmt: skip
    named = f'gene_id "{gene}"; transcript_id "{transcript}";{more}'
    return f"{at[:-1]}\tx\t{feature}\t{first}\t{last}\t.\t{at[-1]}\t{phase}\t{named}"


def gff3(feature: str, first: int, last: int, attributes: str, *, at: str = "1+", phase: str = ".") -> str:
    return f"{at[:-1]}\tx\t{feature}\t{first}\t{last}\t.\t{at[-1]}\t{phase}\t{attributes}"


@st.composite
def transcripts(draw: st.DrawFn) -> list[Transcript]:
    """A few transcripts of a few genes; exons apart, a CDS from within the first to within the last exon."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        edges = draw(st.lists(st.integers(0, 2000), min_size=2, max_size=10, unique=True).map(sorted))
        exons = tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=False))
        gene = f"g{draw(st.integers(0, 2))}"
        coding = draw(st.booleans())
        cds: tuple[Interval, ...] = exons if coding else ()
        open_start = draw(st.booleans())
        made.append(
            Transcript(
                id=f"t.{number}",
                gene=gene,
                contig=f"chr{gene}",
                strand=draw(st.sampled_from("+-")),
                exons=exons,
                cds=cds,
                biotype="protein_coding",
                family="",
                rank=draw(st.integers(0, 2)),
                start_complete=coding and not open_start and sum(b - a for a, b in cds) % 3 == 0,
                tss_complete=not open_start,
            )
        )
    return sorted(made, key=lambda t: (t.contig, t.span, t.id))


def tags(transcript: Transcript) -> list[str]:
    rank = [["Ensembl_canonical", "MANE_Select"], ["MANE_Select"], []][transcript.rank]
    return ["basic", *rank, *([] if transcript.tss_complete else ["cds_start_NF", "mRNA_start_NF"])]


def as_gtf(written: list[Transcript]) -> list[str]:
    lines = []
    for t in written:
        more = ' gene_type "protein_coding";' + "".join(f' tag "{tag}";' for tag in tags(t))
        where = {"gene": t.gene, "at": t.contig + t.strand, "more": more}
        lines += [gtf("exon", a + 1, b, t.id, **where) for a, b in t.exons]
        lines += [gtf("CDS", a + 1, b, t.id, phase="0", **where) for a, b in t.cds]
    return lines


def as_gff3(written: list[Transcript]) -> list[str]:
    lines = ["##gff-version 3", "##sequence-region chr1 1 2000"]
    kind = "biotype=protein_coding;Name=a%3Bb"
    lines += [gff3("gene", 1, 2000, f"ID=gene:{g};{kind}", at=f"chr{g}+") for g in sorted({t.gene for t in written})]
    for t in written:
        at = t.contig + t.strand
        own = f"ID=transcript:{t.id};Parent=gene:{t.gene};tag={','.join(tags(t))}"
        lines.append(gff3("mRNA", t.span[0] + 1, t.span[1], own, at=at))
        lines += [gff3("exon", a + 1, b, f"Parent=transcript:{t.id}", at=at) for a, b in t.exons]
        lines += [gff3("CDS", a + 1, b, f"ID=c;Parent=transcript:{t.id}", at=at, phase="0") for a, b in t.cds]
    return [*lines, "##FASTA", ">chr1", "ACGT"]


@settings(max_examples=60)
@given(transcripts(), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, written: list[Transcript], newline: str, packed: bool
) -> None:
    folder = tmp_path_factory.mktemp("written")
    for name, lines in (("a.gtf", as_gtf(written)), ("a.gff3", as_gff3(written))):
        data = (newline.join(lines) + newline).encode()
        (folder / name).write_bytes(gzip.compress(data) if packed else data)
    assert annotation.read(folder / "a.gtf") == (written, 0)
    assert annotation.read(folder / "a.gff3") == (written, 0)
    for name in ("a.gtf", "a.gff3"):
        assert set(annotation.contigs(folder / name)) == {transcript.contig for transcript in written}


def test_a_gene_on_each_strand_is_read_back_as_it_was_laid(tmp_path: Path) -> None:
    lines = tiny_genome.gtf_lines("a", "1", (1000, 2300), "+", "FAM1")
    lines += tiny_genome.gtf_lines("b", "1", (4000, 5300), "-")
    first, second = parse(tmp_path, "#!comment", "", *lines)
    assert (first.id, first.gene, first.strand) == ("aT", "a", "+")
    assert (first.family, first.biotype) == ("FAM1", "protein_coding")
    assert first.span == (1000, 2300)
    assert first.exons == ((1000, 1400), (1900, 2300))
    assert first.introns == ((1400, 1900),)
    assert second.exons == ((4000, 4400), (4900, 5300))
    assert second.family == ""
    # `tag` comes twice on every line; the second one counts too.
    assert (first.rank, second.rank) == (0, 0)


def test_files_with_exon_lines_only_and_unquoted_values_are_read(tmp_path: Path) -> None:
    (came,) = parse(
        tmp_path,
        gtf("exon", 101, 200, "n^1", more=' exon_number 1; product "a; ID=b"; level 2;'),
        gtf("exon", 301, 400, "n^1"),
    )
    assert (came.id, came.exons, came.cds, came.biotype) == ("n^1", ((100, 200), (300, 400)), (), "")
    assert (came.rank, came.start_complete, came.tss_complete) == (2, False, True)


def test_touching_exons_become_one_and_order_does_not_matter(tmp_path: Path) -> None:
    spans = [(301, 400), (101, 200), (201, 300), (101, 200)]
    (came,) = parse(tmp_path, *(gtf("exon", *span) for span in spans))
    assert came.exons == ((100, 400),)
    assert came.introns == ()


def test_exons_a_few_bases_apart_have_no_intron_between_them(tmp_path: Path) -> None:
    (came,) = parse(tmp_path, *(gtf("exon", *span) for span in [(1, 10), (15, 30), (46, 60)]))
    assert came.gaps == ((10, 14),)
    assert came.introns == ((30, 45),)


def test_isoforms_share_the_memory_of_their_exons(tmp_path: Path) -> None:
    first, second = parse(tmp_path, gtf("exon", 1000, 2000, "a"), gtf("exon", 1000, 2000, "b"))
    assert first.exons[0] is second.exons[0]


@pytest.mark.parametrize(
    ("tag", "start", "tss"),
    [("basic", True, True), ("cds_start_NF", False, False), ("mRNA_start_NF", True, False), ("cds_end_NF", True, True)],
)
def test_tags_say_what_is_complete(tmp_path: Path, tag: str, start: bool, tss: bool) -> None:
    more = f' tag "basic"; tag "{tag}";'
    (came,) = parse(tmp_path, gtf("exon", 1, 90, more=more), gtf("CDS", 31, 60, more=more, phase="0"))
    assert (came.start_complete, came.tss_complete) == (start, tss)


@pytest.mark.parametrize(("last", "phase", "complete"), [(60, "0", True), (61, "0", False), (60, "1", False)])
def test_a_cds_that_is_no_whole_number_of_codons_is_not_complete(
    tmp_path: Path, last: int, phase: str, complete: bool
) -> None:
    lines = [gtf("exon", 1, 90), gtf("CDS", 31, last, phase=phase)]
    assert [t.start_complete for t in parse(tmp_path, *lines)] == [complete]


@pytest.mark.parametrize(("strand", "complete"), [("+", {"a": True, "b": False}), ("-", {"a": False, "b": True})])
def test_the_phase_at_the_five_prime_end_counts(tmp_path: Path, strand: str, complete: dict[str, bool]) -> None:
    at = "1" + strand
    lines = [gtf("exon", 1, 90, name, at=at) for name in "ab"]
    lines += [gtf("CDS", 1, 10, "a", at=at, phase="0"), gtf("CDS", 31, 50, "a", at=at, phase="2")]
    # The order of the lines says nothing.
    lines += [gtf("CDS", 31, 50, "b", at=at, phase="0"), gtf("CDS", 1, 10, "b", at=at, phase="2")]
    assert {t.id: t.start_complete for t in parse(tmp_path, *lines)} == complete


def test_where_a_file_has_start_codons_a_cds_without_one_is_not_complete(tmp_path: Path) -> None:
    lines = [gtf(kind, 1, 30, name) for name in "ab" for kind in ("exon", "CDS")]
    assert [t.start_complete for t in parse(tmp_path, *lines)] == [True, True]
    assert [t.start_complete for t in parse(tmp_path, *lines, gtf("start_codon", 1, 3, "b"))] == [False, True]


def test_copies_of_a_transcript_are_told_apart(tmp_path: Path) -> None:
    """As UCSC's refGene has them on X and Y, on two strands, and far apart on one."""
    places = [("X+", 101), ("Y+", 101), ("X+", 90_000_101)]
    lines = [
        gtf(kind, first + k, first + k + 29, at=at) for at, first in places for k in (0, 60) for kind in ("exon", "CDS")
    ]
    came = parse(tmp_path, *lines)
    assert [(t.id, t.contig, t.span) for t in came] == [
        ("t", "X", (100, 190)),
        ("t_dup1", "X", (90_000_100, 90_000_190)),
        ("t_dup2", "Y", (100, 190)),
    ]
    assert all(t.cds == t.exons and t.start_complete and t.tss_complete for t in came)


def test_both_strands_of_one_contig_may_be_trans_spliced(tmp_path: Path) -> None:
    lines = [gtf(kind, first, first + 29, at=at) for at, first in (("1+", 1), ("1-", 501)) for kind in ("exon", "CDS")]
    assert [(t.id, t.start_complete, t.tss_complete) for t in parse(tmp_path, *lines)] == [
        ("t", False, False),
        ("t_dup1", False, False),
    ]


def test_a_transcript_of_cds_lines_only_has_them_for_exons(tmp_path: Path) -> None:
    (came,) = parse(tmp_path, gtf("CDS", 1, 30), gtf("CDS", 61, 90))
    assert came.exons == came.cds == ((0, 30), (60, 90))
    assert (came.start_complete, came.tss_complete) == (True, False)


def test_augustus_gene_and_transcript_lines_with_a_bare_id_are_passed_over(tmp_path: Path) -> None:
    bare = [f"1\tAUGUSTUS\t{kind}\t1\t90\t1\t+\t.\t{name}" for kind, name in (("gene", "g1"), ("transcript", "g1.t1"))]
    parts = [gtf(kind, 1, 90, "g1.t1", gene="g1", phase="0") for kind in ("CDS", "exon")]
    (came,) = parse(tmp_path, *bare, *parts)
    assert (came.id, came.gene, came.exons, came.cds) == ("g1.t1", "g1", ((0, 90),), ((0, 90),))


def test_the_first_line_with_attributes_tells_the_dialect(tmp_path: Path) -> None:
    (came,) = parse(
        tmp_path,
        gff3("region", 1, 900, "."),
        gff3("assembly_gap", 1, 9, ""),
        gff3("mRNA", 1, 90, "ID=t;Parent=g"),
        gff3("exon", 1, 90, "Parent=t"),
    )
    assert (came.id, came.gene) == ("t", "g")
    # What came before that line counts.
    with pytest.raises(AnnotationError, match="line 1: exon without Parent"):
        parse(tmp_path, gff3("exon", 1, 900, "."), gff3("exon", 1, 90, "Parent=t"))


@pytest.mark.parametrize("strand", [".", "?"])
def test_transcripts_without_a_strand_are_left_out_and_counted(tmp_path: Path, strand: str) -> None:
    # `half` has an exon without: the other alone would make a wrong model of it.
    lines = [gtf("exon", 1, 90, "t"), gtf("exon", 1, 90, "none", at="1" + strand), gtf("exon", 1, 90, "half")]
    lines += [gtf("exon", 201, 290, name, at="1" + strand) for name in ("none", "half")]
    (tmp_path / "genes").write_text("\n".join(lines) + "\n")
    came = annotation.read(tmp_path / "genes")
    assert ([t.id for t in came.transcripts], came.strandless) == (["t"], 2)
    gff = [gff3("exon", 1, 90, "Parent=a"), gff3("exon", 1, 90, "Parent=b", at="1" + strand)]
    assert [t.id for t in parse(tmp_path, *gff)] == ["a"]
    with pytest.raises(AnnotationError, match=r"none of 2 transcripts has a strand; wanted: \+ or - in column 7"):
        parse(tmp_path, *(line.replace("\t+\t", f"\t{strand}\t").replace('"t"', '"half"') for line in lines))


def test_flybase_gff3_shares_exons_and_leaves_transcripts_out(tmp_path: Path) -> None:
    came = parse(
        tmp_path,
        gff3("gene", 1, 900, "ID=FBgn1;Name=a;Alias=x,y%2Cz;Dbxref=p:q"),
        gff3("mRNA", 1, 900, "ID=FBtr1;Parent=FBgn1"),
        gff3("mRNA", 1, 900, "ID=FBtr2;Parent=FBgn1"),
        gff3("exon", 1, 100, "Parent=FBtr1,FBtr2,FBtr3"),
        gff3("exon", 801, 900, "Parent=FBtr1"),
        gff3("exon", 701, 900, "Parent=FBtr2"),
        "1\tRNASeq_splice\tintron\t101\t800\t23\t+\t.\tID=FBsf1;read_count=a:2,b:3",
        "1\tx\tmRNA\t1\t900\t.\t+\t.\tName=without an id",
        "1\tx\tregion\t1\t900\t.\t.\t.\tID=r1",
    )
    # The third has no line of its own: whose it is and where it begins, nobody knows.
    assert [(t.id, t.gene, t.exons, t.tss_complete) for t in came] == [
        ("FBtr3", "FBtr3", ((0, 100),), False),
        ("FBtr1", "FBgn1", ((0, 100), (800, 900)), True),
        ("FBtr2", "FBgn1", ((0, 100), (700, 900)), True),
    ]


def test_ncbi_gff3_names_kind_choice_and_what_is_partial(tmp_path: Path) -> None:
    came = parse(
        tmp_path,
        gff3("gene", 1, 900, "ID=gene-A;gene_biotype=protein_coding;family=F"),
        gff3("mRNA", 1, 300, "ID=rna-1;Parent=gene-A;tag=MANE Select"),
        gff3("mRNA", 1, 300, "ID=rna-2;Parent=gene-A;partial=true"),
        gff3("exon", 1, 300, "ID=e1;Parent=rna-1"),
        gff3("CDS", 1, 300, "ID=c1;Parent=rna-1", phase="0"),
        gff3("exon", 1, 300, "ID=e2;Parent=rna-2"),
        gff3("CDS", 1, 300, "ID=c2;Parent=rna-2", phase="0"),
        gff3("pseudogene", 401, 500, "ID=gene-B"),
        gff3("exon", 401, 500, "Parent=gene-B"),
    )
    assert [(t.id, t.gene, t.biotype, t.family, t.rank, t.start_complete, t.tss_complete) for t in came] == [
        ("rna-1", "gene-A", "protein_coding", "F", 1, True, True),
        ("rna-2", "gene-A", "protein_coding", "F", 2, False, False),
        ("gene-B", "gene-B", "", "", 2, False, True),
    ]


def test_gene_of_gene_of_transcript_is_followed_to_its_end(tmp_path: Path) -> None:
    (came,) = parse(
        tmp_path,
        gff3("miRNA_primary_transcript", 1, 90, "ID=p;Parent=gene:g"),
        gff3("miRNA", 1, 30, "ID=m;Parent=p"),
        gff3("exon", 1, 30, "Parent=m"),
        gff3("gene", 1, 90, "ID=gene:g;Parent=m"),  # a circle, which ends where it began
    )
    assert came.gene == "g"


def test_the_representative_is_canonical_then_mane_then_longest_coding_then_longest_then_first(tmp_path: Path) -> None:
    lines = [gtf("exon", 1, 300, "long"), gtf("exon", 1, 90, "coding"), gtf("CDS", 1, 30, "coding")]
    lines += [gtf("exon", 1, 300, "also")]
    came = parse(tmp_path, *lines)
    assert annotation.representative(came).id == "coding"
    assert annotation.representative([t for t in came if t.id != "coding"]).id == "also"
    mane = gtf("exon", 1, 9, "mane", more=' tag "MANE_Select";')
    assert annotation.representative(parse(tmp_path, *lines, mane)).id == "mane"
    chosen = gtf("exon", 1, 6, "chosen", more=' tag "basic"; tag "Ensembl_canonical";')
    assert annotation.representative(parse(tmp_path, *lines, mane, chosen)).id == "chosen"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 x exon 1 9", "line 3: 1 tab-separated columns; wanted: 9"),
        (gtf("exon", 0, 9), "line 3: from '0' to '9'"),
        (gtf("exon", 9, 1), "line 3: from '9' to '1'"),
        (gtf("exon", 1, 9).replace("\t9\t", "\tx\t"), "line 3: from '1' to 'x'"),
        (gtf("exon", 1, 9, at="1x"), "line 3: strand 'x' of exon 't'"),
        ('1\tx\texon\t1\t9\t.\t+\t.\tname "e"', "line 3: no gene_id"),
        ('1\tx\texon\t1\t9\t.\t+\t.\tgene_id "g";', "line 3: exon without transcript_id"),
        (gtf("exon", 1, 9, gene="h"), "line 3: transcript 't' belongs to gene 'h' here and to 'g' before"),
    ],
)
def test_a_wrong_line_of_a_gtf_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        parse(tmp_path, "# comment", gtf("exon", 1, 9), line, gtf("exon", 1, 9))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (gff3("exon", 1, 9, "ID=e"), "line 2: exon without Parent"),
        (gff3("CDS", 1, 9, "Parent=;ID=c"), "line 2: CDS without Parent"),
        (gff3("mRNA", 1, 9, "ID=t;Parent=h"), "line 2: 't' belongs to 'h' here and to 'g' before"),
    ],
)
def test_a_wrong_line_of_a_gff3_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        parse(tmp_path, gff3("mRNA", 1, 9, "ID=t;Parent=g"), line)


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["", "#only words"], "no feature lines"), ([gtf("gene", 1, 9)], "no exon lines"), ([">a", "AC"], "no feature")],
)
def test_a_file_without_exons_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        parse(tmp_path, *lines)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be opened"):
        annotation.read(tmp_path / "nothing.gtf")
    (tmp_path / "cut").write_bytes(gzip.compress(gtf("exon", 1, 9).encode())[:-9])
    with pytest.raises(AnnotationError, match="truncated"):
        annotation.read(tmp_path / "cut")
    (tmp_path / "binary").write_bytes(b"\xff\xff\n")
    with pytest.raises(AnnotationError, match="not UTF-8"):
        annotation.read(tmp_path / "binary")
