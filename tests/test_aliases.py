"""Names of contigs: read from the tables that genome sites publish, applied, or refused with both sides named."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from episome import aliases
from episome.aliases import AliasError
from episome.annotation import Transcript

CHROM_ALIAS = (
    "# ucsc\tassembly\tgenbank\tncbi\trefseq\n"
    "chr1\t1\tCM000663.2\t1\tNC_000001.11\nchrM\tMT\tJ01415.2\tMT\tNC_012920.1\nchrUn_1\t\tKI1.1\t\tNT_1\n"
)
DUMP = "1\tchr1\tassembly,ensembl\nCM000663.2\tchr1\tgenbank\nMT\tchrM\tensembl\n"
REPORT = (
    "# Assembly name:  GRCh38\r\n# Sequence-Name\tSequence-Role\tAssigned-Molecule\tAssigned-Molecule-Location/Type\t"
    "GenBank-Accn\tRelationship\tRefSeq-Accn\tAssembly-Unit\tSequence-Length\tUCSC-style-name\r\n"
    "1\tassembled-molecule\t1\tChromosome\tCM000663.2\t=\tNC_000001.11\tPrimary\t248956422\tchr1\r\n"
    "HSCHR1_CTG1\tunlocalized-scaffold\t1\tChromosome\tKI2.1\t=\tna\tPrimary\t5\tna\r\n"
)
MODEL = Transcript(
    id="t", gene="g", contig="1", strand="+", exons=((10, 40), (60, 90)), cds=(), biotype="", family="", rank=2,
    start_complete=False, tss_complete=True,
)  # fmt: skip


def put(folder: Path, text: str) -> Path:
    (folder / "names.txt").write_bytes(gzip.compress(text.encode()))
    return folder / "names.txt"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CHROM_ALIAS, {"1": ("chr1", "1", "CM000663.2", "NC_000001.11"), "KI1.1": ("chrUn_1", "KI1.1", "NT_1")}),
        (DUMP, {"chr1": ("chr1", "1", "CM000663.2"), "MT": ("chrM", "MT")}),
        (REPORT, {"NC_000001.11": ("1", "CM000663.2", "NC_000001.11", "chr1"), "KI2.1": ("HSCHR1_CTG1", "KI2.1")}),
    ],
)
def test_the_three_published_tables_are_read(tmp_path: Path, text: str, expected: dict[str, tuple[str, ...]]) -> None:
    names = aliases.read(put(tmp_path, text))
    assert {name: names[name] for name in expected} == expected
    assert all(name in group for name, group in names.items())
    assert not {"", "na", "assembly,ensembl", "assembled-molecule"} & set(names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no names; wanted: UCSC"),
        ("# ucsc\tensembl\n", "no names"),
        ("chr1 1\n", "1 columns and no '#' line; wanted: alias, contig, source"),
        ("# ucsc\tensembl\nchr1\t1\nchr2\t1\n", "'1' is a name of 'chr1' and of 'chr2'"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AliasError, match=message):
        aliases.read(put(tmp_path, text))


def test_names_that_agree_need_no_table() -> None:
    assert aliases.reconcile({"1": 90}, [MODEL], None, 1.0, "here") == (
        [MODEL],
        {"renamed": {}, "unmatched": [], "dropped": 0, "annotated_share": 1.0},
    )


def test_a_table_renames_and_the_order_is_that_of_the_new_names(tmp_path: Path) -> None:
    names = aliases.read(put(tmp_path, CHROM_ALIAS))
    mitochondrial = replace(MODEL, id="m", contig="MT")
    came, report = aliases.reconcile({"chrM": 90, "chr1": 90}, [mitochondrial, MODEL], names, 1.0, "here")
    assert came == [replace(MODEL, contig="chr1"), replace(mitochondrial, contig="chrM")]
    assert report["renamed"] == {"MT": "chrM", "1": "chr1"}


def test_a_few_strangers_are_dropped_and_counted() -> None:
    strange = replace(MODEL, id="s", contig="scaffold", exons=((0, 3),))
    came, report = aliases.reconcile({"1": 90}, [MODEL, strange], None, 0.95, "here")
    assert came == [MODEL]
    assert report == {"renamed": {}, "unmatched": ["scaffold"], "dropped": 1, "annotated_share": 60 / 63}
    with pytest.raises(
        AliasError, match=r"95\.2% of the annotated bases .* wanted: 96\.0%\. .* only: scaffold\. FASTA: 1\."
    ):
        aliases.reconcile({"1": 90}, [MODEL, strange], None, 0.96, "here")


def test_names_of_two_worlds_are_refused_with_both_lists(tmp_path: Path) -> None:
    models = [replace(MODEL, contig=str(number), exons=((0, 90 + number),)) for number in range(1, 9)]
    lengths = {f"chr{number}": 900 for number in range(1, 8)}
    expected = (
        r"here: 0\.0% of .* wanted: 95\.0%\. Annotation only: 8, 7, 6, 5, 4 and 3 more\. "
        r"FASTA: chr1, chr2, chr3, chr4, chr5 and 2 more\. If these are two names .* `aliases:` \(UCSC"
    )
    with pytest.raises(AliasError, match=expected):
        aliases.reconcile(lengths, models, None, 0.95, "here")
    with pytest.raises(AliasError, match="The table named by `aliases:` does not join them"):
        aliases.reconcile({"other": 900}, models, aliases.read(put(tmp_path, CHROM_ALIAS)), 0.95, "here")


def test_two_names_of_one_contig_in_the_fasta_are_refused(tmp_path: Path) -> None:
    names = aliases.read(put(tmp_path, CHROM_ALIAS))
    with pytest.raises(AliasError, match=r"contig '1' is chr1, NC_000001\.11 in the FASTA"):
        aliases.reconcile({"chr1": 90, "NC_000001.11": 90}, [MODEL], names, 0.95, "here")


def test_a_transcript_beyond_the_end_of_its_contig_is_of_another_assembly() -> None:
    with pytest.raises(AliasError, match=r"'t' ends at 90 on '1', which has 89 bases .* one assembly\?"):
        aliases.reconcile({"1": 89}, [MODEL], None, 0.95, "here")
    beyond = replace(MODEL, cds=((10, 40), (60, 93)))
    with pytest.raises(AliasError, match=r"the CDS of transcript 't' ends at 93 on '1', which has 90 bases"):
        aliases.reconcile({"1": 90}, [MODEL, beyond], None, 0.95, "here")


def test_a_quick_look_refuses_only_what_has_nothing_in_common(tmp_path: Path) -> None:
    annotated = {"1": 5, "2": 9}
    aliases.meet(["2"], annotated, None, "here")
    aliases.meet(["chr1"], annotated, aliases.read(put(tmp_path, CHROM_ALIAS)), "here")
    # An empty file has a clearer error of its own, when it is read.
    aliases.meet([], annotated, None, "here")
    aliases.meet(["1"], {}, None, "here")
    with pytest.raises(AliasError, match=r"here: no contig in common\. Annotation only: 2, 1\. FASTA: chr1\. If these"):
        aliases.meet(["chr1"], annotated, None, "here")
