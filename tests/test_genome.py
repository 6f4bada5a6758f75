import gzip
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from episome import fasta, genome, split
from episome.sequence import canonical, reverse_complement
from episome.sources import GenomeSource
from episome.types import EpisomeError, Task
from tests import tiny_genome
from tests.tiny_genome import WINDOWS

PROMOTER = Task(name="promoter", scope="window", window=300)
DONOR = Task(name="donor", scope="site", window=120, motif="GT")
ACCEPTOR = Task(name="acceptor", scope="site", window=120, motif="AG")
TIS = Task(name="tis", scope="site", window=203, motif="ATG")
HELD = tuple(Task(name=f"contains_{name}", scope="window", window=512) for name in ("tss", "intron"))

Loaded = tuple[pd.DataFrame, dict[str, Any], list[str]]


def source(folder: Path, **named: str) -> GenomeSource:
    return GenomeSource(kind="genome", folder=folder, tasks=("donor",), licence="none", citation="none", **named)


def load(folder: Path, *tasks: Task, families: dict[str, str] | None = None, **changes: Any) -> Loaded:
    windows = WINDOWS.model_copy(update=changes)
    return genome.load(
        source(folder),
        tasks or (PROMOTER, DONOR),
        species="toy",
        origin="simulated:toy",
        windows=windows,
        families=families or {},
        seed=3,
    )


def each(rows: pd.DataFrame) -> list[Any]:
    return list(rows.itertuples())


def sequences(folder: Path) -> dict[str, str]:
    return {record.id: record.sequence for record in fasta.read(folder / "genome.fa")}


def true_donors(folder: Path) -> set[tuple[str, int]]:
    """Contig and window start of every donor, by hand."""
    found = set()
    for line in (folder / "genes.gtf").read_text().splitlines():
        columns = line.split("\t")
        if columns[2:3] == ["gene"]:
            start, end = int(columns[3]) - 1, int(columns[4])
            site = start + tiny_genome.EXON if columns[6] == "+" else end - tiny_genome.EXON
            found.add((columns[0], site - 60))
    return found


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_genome.write(tmp_path_factory.mktemp("genome"))


@pytest.fixture(scope="module")
def loaded(toy: Path) -> Loaded:
    return load(toy)


def test_rows_are_cut_where_they_say(toy: Path, loaded: Loaded) -> None:
    contigs = sequences(toy)
    for row in each(loaded[0]):
        plus = contigs[row.contig][row.start : row.end]
        assert row.sequence == (plus if row.strand == "+" else reverse_complement(plus))
    assert set(loaded[0]["strand"]) == {"+", "-"}
    assert set(loaded[0]["origin"]) == {"simulated:toy"}


def test_true_sites_are_all_there_and_decoys_are_not_near_them(toy: Path, loaded: Loaded) -> None:
    rows = loaded[0]
    donors = rows[rows["label_donor"] >= 0]
    assert (donors["sequence"].str[60:62] == "GT").all()
    true = donors[donors["label_donor"] == 1]
    assert set(true["negative_kind"]) == {""}
    wanted = true_donors(toy)
    assert len(wanted) == 18
    assert {(row.contig, row.start) for row in each(true)} == wanted
    for row in each(donors[donors["label_donor"] == 0]):
        assert row.negative_kind in ("exon", "intron", "intergenic")
        assert all(abs(row.start - start) > WINDOWS.exclusion for contig, start in wanted if contig == row.contig)


def test_rows_name_their_gene_and_those_between_genes_none(loaded: Loaded) -> None:
    for row in each(loaded[0]):
        assert (row.gene == "") == (row.negative_kind == "intergenic")
        if row.gene:
            assert row.gene.startswith(f"{row.contig}g")


def test_promoter_negatives_hold_no_start_on_their_strand(loaded: Loaded) -> None:
    rows = loaded[0]
    promoters = rows[rows["label_promoter"] >= 0]
    true = promoters[promoters["label_promoter"] == 1]
    assert len(true) == 18
    starts = {(row.contig, row.strand, row.start + 249 if row.strand == "+" else row.end - 250) for row in each(true)}
    for row in each(promoters[promoters["label_promoter"] == 0]):
        near = (row.start - WINDOWS.exclusion, row.end + WINDOWS.exclusion)
        strands = {strand for contig, strand, base in starts if contig == row.contig and near[0] <= base < near[1]}
        opposite = {"+": "-", "-": "+"}[row.strand]
        assert strands == ({opposite} if row.negative_kind == "opposite_strand" else set())
    assert set(promoters["negative_kind"]) == {"", "gene_body", "intergenic", "shifted", "opposite_strand"}


def test_classes_are_balanced_in_every_split(loaded: Loaded) -> None:
    rows = loaded[0]
    for task in ("promoter", "donor"):
        own = rows[rows[f"label_{task}"] >= 0]
        assert own.groupby("split")[f"label_{task}"].mean().to_dict() == dict.fromkeys(split.SPLITS, 0.5)


def test_no_base_and_no_sequence_is_on_two_sides(loaded: Loaded) -> None:
    rows, _, texts = loaded
    side: dict[tuple[str, int], str] = {}
    for row in each(rows):
        for base in range(row.start, row.end):
            assert side.setdefault((row.contig, base), row.split) == row.split
    held_out = rows.loc[rows["split"] != "train", "sequence"]
    assert texts
    corpus = "|".join(texts)
    assert not any(s[i : i + 60] in corpus for s in held_out for i in range(0, len(s) - 60, 20))
    for task in ("promoter", "donor"):
        assert not rows.loc[rows[f"label_{task}"] >= 0, "sequence"].map(canonical).duplicated().any()


def test_a_familys_side_is_the_same_in_another_genome(tmp_path: Path, toy: Path) -> None:
    other = tiny_genome.write(tmp_path, contigs=2, strands="-+-+-+-+-", seed=9)
    rows = pd.concat([load(toy)[0], load(other)[0]])
    assert rows.groupby("group")["split"].nunique().max() == 1
    assert rows["group"].str.match(r"FAM\d{6}$").all()


def test_families_that_were_found_decide_where_the_annotation_states_none(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path, families=False)
    families = {f"c{c}g{g}": f"K{g}" for c in range(3) for g in range(6)}
    rows, report, _ = load(folder, families=families, split_by="family")
    assert report["split"]["rule"] == "family"
    assert set(rows["group"]) == {f"K{g}" for g in range(6)}
    assert rows.groupby("group")["split"].nunique().max() == 1


def test_rows_are_the_same_again_and_draws_of_a_task_do_not_move_those_of_another(toy: Path) -> None:
    both = load(toy)[0]
    pd.testing.assert_frame_equal(both, load(toy)[0])
    alone = load(toy, DONOR)[0]
    assert alone["sequence"].tolist() == both.loc[both["label_donor"] >= 0, "sequence"].tolist()


def test_the_report_counts_what_happened(loaded: Loaded) -> None:
    rows, report, _ = loaded
    assert (report["contigs"], report["genes"], report["transcripts"]) == (3, 18, 18)
    assert report["split"]["rule"] == "family"
    assert sum(report["split"]["bases"].values()) == report["bases"]
    assert report["soundness"]["gt_ag"] == report["soundness"]["introns"] == 18
    donor = report["tasks"]["donor"]
    assert sum(n for side in donor["rows"].values() for n in side.values()) == (rows["label_donor"] >= 0).sum()
    assert abs(donor["gc"]["positive"] - donor["gc"]["negative"]) < 0.03
    assert donor["motifs"] == {"GT": 18}
    assert {kind: row["wanted"] for kind, row in donor["kinds"].items()} == {"intron": 6, "exon": 6, "intergenic": 6}
    assert sum(row["got"] for row in donor["kinds"].values()) == 18
    assert all(0 <= row["gc_distance"] < 0.1 for row in donor["kinds"].values())
    assert json.loads(json.dumps(report)) == report


def test_without_families_whole_contigs_are_held_out(tmp_path: Path) -> None:
    rows, report, _ = load(tiny_genome.write(tmp_path, families=False))
    assert report["split"]["rule"] == "contig"
    assert rows.groupby("contig")["split"].nunique().tolist() == [1, 1, 1]


def test_shares_of_kinds_and_negatives_per_positive_are_followed(toy: Path) -> None:
    donor = WINDOWS.negatives["donor"].model_copy(update={"per_positive": 2.0, "kinds": {"intron": 3.0, "exon": 1.0}})
    rows = load(toy, DONOR, negatives={"donor": donor})[0]
    assert rows["label_donor"].value_counts().to_dict() == {0: 36, 1: 18}
    assert rows.loc[rows["label_donor"] == 0, "negative_kind"].value_counts().to_dict() == {"intron": 27, "exon": 9}


def test_tasks_of_contents_share_their_rows(toy: Path) -> None:
    rows, report, _ = load(toy, HELD[0], DONOR, HELD[1])
    held = rows[rows["label_donor"] < 0]
    assert (held["sequence"].str.len() == 512).all()
    assert set(held["label_contains_tss"]) == set(held["label_contains_intron"]) == {0, 1}
    assert (rows.loc[rows["label_donor"] >= 0, "label_contains_tss"] == -1).all()
    many = held[["label_contains_tss", "label_contains_intron"]].sum(axis=1)
    assert set(held.loc[many == 0, "negative_kind"]) == {"intergenic", "in_gene"}
    assert set(held.loc[many == 1, "negative_kind"]) == {"other_content"}
    assert set(held.loc[many == 2, "negative_kind"]) == {""}
    assert (
        report["tasks"]["contains_tss"]["rows"]["train"]["positive"]
        == ((held["label_contains_tss"] == 1) & (held["split"] == "train")).sum()
    )


def test_soft_masking_is_kept_as_a_share(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path)
    head, sequence, *others = (folder / "genome.fa").read_text().splitlines()
    lower = "\n".join([head, sequence.lower(), *others]) + "\n"
    (folder / "genome.fa").unlink()
    with gzip.open(folder / "genome.fa.gz", "wt") as packed:
        packed.write(lower)
    rows = load(folder)[0]
    assert set(rows.loc[rows["contig"] == "c0", "lower_case"]) == {1.0}
    assert set(rows.loc[rows["contig"] != "c0", "lower_case"]) == {0.0}
    assert rows["sequence"].str.fullmatch("[ACGT]+").all()


def edit(folder: Path, name: str, old: str, new: str) -> Path:
    path = tiny_genome.write(folder) / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


def test_contig_names_that_do_not_match_are_refused_with_both_lists(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match=r"Annotation only: c0\. FASTA: chr0, c1, c2\."):
        load(edit(tmp_path, "genome.fa", ">c0", ">chr0"))


def test_a_table_of_names_joins_them(tmp_path: Path) -> None:
    folder = edit(tmp_path, "genome.fa", ">c0", ">chr0")
    (folder / "names.txt").write_text("# ucsc\tensembl\nchr0\tc0\n")
    named = source(folder, aliases="names.txt")
    with genome.opened(named, WINDOWS) as (_, transcripts, report):
        assert report["names"]["renamed"] == {"c0": "chr0"}
        assert {t.contig for t in transcripts} == {"chr0", "c1", "c2"}


def test_a_letter_that_is_no_nucleotide_names_its_contig(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match="contig 'c1', base 1: '-'"):
        load(edit(tmp_path, "genome.fa", ">c1 toy\n", ">c1 toy\n-"))


def test_missing_and_doubled_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match=r"one file that ends in \.fa, \.fasta, \.fna .*there: none"):
        load(tmp_path)
    (tiny_genome.write(tmp_path) / "genes.gff3.gz").touch()
    with pytest.raises(EpisomeError, match=r"there: genes\.gff3\.gz and genes\.gtf; name .* source\.annotation"):
        load(tmp_path)
    with genome.opened(source(tmp_path, annotation="genes.gtf"), WINDOWS) as (_, transcripts, _):
        assert len(transcripts) == 18
    refused = pytest.raises(EpisomeError, match=r"other\.fa: no such file; mend source\.fasta")
    with refused, genome.opened(source(tmp_path, fasta="other.fa"), WINDOWS):
        pass


def test_a_task_without_a_single_site_is_refused(tmp_path: Path) -> None:
    folder = edit(tmp_path, "genes.gtf", "\tCDS\t", "\tother\t")
    expected = (
        r"no window for task 'tis'\. Of 18 genes, 18 make protein; of their representative transcripts 18 have a "
        r"complete TSS, 18 an intron, 0 a complete start of translation\. Windows dropped: none\. Take 'tis' out of "
        r"source\.tasks in params\.yaml"
    )
    with pytest.raises(EpisomeError, match=expected):
        load(folder, TIS)
    with pytest.raises(EpisomeError, match=r"no window for task 'donor'.* Windows dropped: 18 too_many_n\."):
        load(folder, DONOR, max_n_share=-1.0)


def test_transcripts_without_a_strand_are_counted_in_the_report(tmp_path: Path) -> None:
    lines = tiny_genome.gtf_lines("odd", "c0", (20, 1320), ".")
    folder = tiny_genome.write(tmp_path)
    with (folder / "genes.gtf").open("a") as gtf:
        gtf.write("\n".join(lines) + "\n")
    _, report, _ = load(folder)
    assert (report["transcripts"], report["strandless"]) == (18, 1)


def test_noncoding_genes_have_no_promoter_but_donors(tmp_path: Path) -> None:
    folder = edit(
        tmp_path, "genes.gtf", 'gene_id "c0g0"; gene_biotype "protein_coding"', 'gene_id "c0g0"; gene_biotype "lncRNA"'
    )
    rows = load(folder)[0]
    assert (rows["label_promoter"] == 1).sum() == 17
    assert (rows["label_donor"] == 1).sum() == 18


def test_fragments_have_no_start_but_donors(tmp_path: Path) -> None:
    tag = 'transcript_id "c0g0T"; tag "basic"'
    folder = edit(tmp_path, "genes.gtf", tag, tag + '; tag "cds_start_NF"; tag "mRNA_start_NF"')
    rows = load(folder, PROMOTER, DONOR, TIS)[0]
    assert [(rows[f"label_{task}"] == 1).sum() for task in ("promoter", "donor", "tis")] == [17, 18, 17]
    for row in each(rows[(rows["label_tis"] == 0) | (rows["label_promoter"] == 0)]):
        assert row.gene != "c0g0"


def test_mitochondria_and_second_copies_make_nothing(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path, contigs=5, strands="+-")
    for name in ("genome.fa", "genes.gtf"):
        path = folder / name
        text = path.read_text().replace("c3", "MT").replace("c4", "chr1_GL383518v1_alt")
        path.write_text(text)
    rows, report, texts = load(folder)
    assert report["names"]["left_out"] == ["MT", "chr1_GL383518v1_alt"]
    assert set(rows["contig"]) == {"c0", "c1", "c2"}
    assert not any(text in sequences(folder)[name] for text in texts for name in report["names"]["left_out"])


@pytest.mark.parametrize(
    "name",
    [
        *("MT", "chrM", "mitochondrion_genome", "dmel_mitochondrion_genome", "Mito", "MtDNA", "ChrM"),
        *("Pt", "chrC", "ChrC", "chrPt", "Pltd", "chloroplast"),
        *("chr6_apd_hap1", "chr1_KI270762v1_alt", "chr1_KN196472v1_fix", "CHR_HSCHR6_MHC_APD_CTG1", "HSCHR1_1_CTG3"),
    ],
)
def test_names_that_are_left_out(name: str) -> None:
    assert genome.left_out(name, None)


@pytest.mark.parametrize(
    "name",
    [
        *("1", "chr1", "2L", "X", "C", "C1", "MtrunA17Chr1", "HSCHR1_CTG1_UNLOCALIZED", "HSCHRUN_RANDOM_CTG1"),
        *("KI270728.1", "4", "Chr01_hap1", "chr1_hap2", "NC_012920.1"),
    ],
)
def test_names_that_are_not(name: str) -> None:
    assert not genome.left_out(name, None)


def test_any_name_that_a_table_has_for_a_contig_may_tell() -> None:
    names = {name: group for group in [("chrM", "MT", "NC_012920.1"), ("chr1", "NC_000001.11")] for name in group}
    assert genome.left_out("NC_012920.1", names)
    assert not genome.left_out("NC_000001.11", names)


def test_a_mitochondrion_named_by_the_table_makes_nothing(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path)
    (folder / "names.txt").write_text("# ucsc\tensembl\nc0\tMT\n")
    with genome.opened(source(folder, aliases="names.txt"), WINDOWS) as (_, transcripts, report):
        assert report["names"]["left_out"] == ["c0"]
        assert {t.contig for t in transcripts} == {"c1", "c2"}


def test_a_genome_of_which_every_annotated_contig_is_left_out_is_refused(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path, contigs=7, strands="+-")
    for path in (folder / "genome.fa", folder / "genes.gtf"):
        path.write_text(re.sub(r"\bc(\d)(?=[ \t])", r"CHR_\1", path.read_text()))
    with pytest.raises(EpisomeError, match=r"every annotated contig .* CHR_0, CHR_1, CHR_2, CHR_3, CHR_4 and 2 more; "):
        load(folder)


def test_what_cannot_be_a_window_is_dropped_and_counted(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path, contigs=4, strands="+-+", families=False)
    fasta_lines = (folder / "genome.fa").read_text().splitlines()
    # c0 starts inside its first promoter window; c1 has N there; c2's first donor is no GT; c3 repeats c2.
    # `twin` starts 50 bases after another gene and has its donor; what `early` has for a donor is chance, and no GT.
    start, width = tiny_genome.SPACE, tiny_genome.EXON
    fasta_lines[3] = fasta_lines[3][: start - 60] + "N" * 60 + fasta_lines[3][start:]
    fasta_lines[5] = fasta_lines[5][: start + width] + "CC" + fasta_lines[5][start + width + 2 :]
    fasta_lines[7] = fasta_lines[5]
    (folder / "genome.fa").write_text("\n".join(fasta_lines) + "\n")
    lines = tiny_genome.gtf_lines("early", "c0", (20, 1020), "+")
    lines += [
        line.replace('"c1g0', '"twin').replace("1201\t", "1251\t")
        for line in tiny_genome.gtf_lines("c1g0", "c1", (1200, 2500), "+")
    ]
    with (folder / "genes.gtf").open("a") as gtf:
        gtf.write("\n".join(lines) + "\n")
    _, report, _ = load(folder, min_motif_share=0.5)
    assert report["tasks"]["promoter"]["dropped"] == {"duplicate": 3, "merged": 1, "off_the_contig": 1, "too_many_n": 1}
    assert report["tasks"]["donor"]["dropped"] == {"duplicate": 3, "other_motif": 3}
    assert report["tasks"]["donor"]["motifs"] == {"CC": 2, "GA": 1, "GT": 11}


def test_two_starts_of_one_promoter_are_one_row_on_either_strand(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path, strands="+", families=False)
    # Minus genes start at their ends: `m2` 10 bases before `m0`, with `m1` between them in the order of the file.
    spans = {"m0": (2600, 3300), "m1": (2610, 3000), "m2": (2620, 3310)}
    with (folder / "genes.gtf").open("a") as gtf:
        for name, span in spans.items():
            own = f'gene_id "{name}"; transcript_id "{name}T"; gene_biotype "protein_coding";'
            gtf.write(tiny_genome.line("c0", "exon", span, "-", own) + "\n")
    rows, report, _ = load(folder, PROMOTER)
    assert report["tasks"]["promoter"]["dropped"] == {"merged": 1}
    assert (rows["label_promoter"] == 1).sum() == 5


def test_a_window_between_two_sides_is_dropped(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path)
    # Neighbours 80 bases apart: the promoter window of the second reaches into the first's territory.
    sides = {f"F{i}": split.by_group(f"F{i}", WINDOWS.split, 3) for i in range(99)}
    train, test = (next(f for f, side in sides.items() if side == wanted) for wanted in ("train", "test"))
    lines = tiny_genome.gtf_lines("a", "c0", (1200, 2500), "+", train)
    lines += tiny_genome.gtf_lines("b", "c0", (2580, 3880), "+", test)
    (folder / "genes.gtf").write_text("\n".join(lines) + "\n")
    rows, report, texts = load(folder, PROMOTER, min_motif_share=0.0)
    assert report["tasks"]["promoter"]["dropped"] == {"between_splits": 1}
    assert rows.loc[rows["label_promoter"] == 1, "group"].tolist() == [train]
    # Contigs without a gene hold nothing out, so all their text is free.
    unannotated = sequences(folder)["c1"]
    assert sum(text in unannotated for text in texts) == len(unannotated) // WINDOWS.corpus_window


def test_the_corpus_takes_the_asked_share_of_chunks_with_few_n(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path)
    every = load(folder)[2]
    some = load(folder, corpus_share=0.3)[2]
    assert set(some) < set(every)
    assert 0.2 < len(some) / len(every) < 0.4
    assert all(len(text) == WINDOWS.corpus_window for text in every)
    assert load(folder, corpus_share=0.0)[2] == []


def test_a_task_that_params_do_not_know_how_to_make_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match=r"windows\.negatives: nothing for task 'acceptor'"):
        load(tmp_path / "nowhere", ACCEPTOR, negatives={})
    with pytest.raises(EpisomeError, match="'contains_exon': no recipe"):
        load(tmp_path / "nowhere", Task(name="contains_exon", scope="window", window=512))
