from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from episome import genome, split
from episome.sequence import canonical, reverse_complement
from episome.types import EpisomeError, Task
from tests import tiny_genome
from tests.tiny_genome import WINDOWS

PROMOTER = Task(name="promoter", scope="window", window=300)
DONOR = Task(name="donor", scope="site", window=120, motif="GT")
TIS = Task(name="tis", scope="site", window=203, motif="ATG")


def load(folder: Path, *tasks: Task, **changes: Any) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    windows = WINDOWS.model_copy(update=changes)
    chosen = tasks or (PROMOTER, DONOR)
    return genome.load(folder, chosen, species="toy", origin="simulated:toy", windows=windows, seed=3)


def each(rows: pd.DataFrame) -> list[Any]:
    return list(rows.itertuples())


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_genome.write(tmp_path_factory.mktemp("genome"))


@pytest.fixture(scope="module")
def loaded(toy: Path) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    return load(toy)


def test_rows_are_cut_where_they_say(toy: Path, loaded: tuple[pd.DataFrame, dict[str, Any], list[str]]) -> None:
    contigs = genome.read(toy, WINDOWS, 3).contigs
    for row in each(loaded[0]):
        plus = contigs[row.contig][row.start : row.end]
        assert row.sequence == (plus if row.strand == "+" else reverse_complement(plus))
    assert set(loaded[0]["strand"]) == {"+", "-"}
    assert set(loaded[0]["origin"]) == {"simulated:toy"}


def test_true_sites_are_all_there_and_decoys_are_not_near_them(
    toy: Path, loaded: tuple[pd.DataFrame, dict[str, Any], list[str]]
) -> None:
    rows = loaded[0]
    donors = rows[rows["label_donor"] >= 0]
    assert (donors["sequence"].str[60:62] == "GT").all()
    true = donors[donors["label_donor"] == 1]
    assert len(true) == 18
    assert set(true["negative_kind"]) == {""}
    wanted = {
        (t.contig, t.introns[0][0] - 60 if t.strand == "+" else t.introns[0][1] - 60)
        for t in genome.read(toy, WINDOWS, 3).genes
    }
    assert {(row.contig, row.start) for row in each(true)} == wanted
    for row in each(donors[donors["label_donor"] == 0]):
        assert row.negative_kind in ("exon", "intron")
        assert all(abs(row.start - start) > WINDOWS.exclusion for contig, start in wanted if contig == row.contig)


def test_promoter_negatives_hold_no_start(loaded: tuple[pd.DataFrame, dict[str, Any], list[str]]) -> None:
    rows = loaded[0]
    promoters = rows[rows["label_promoter"] >= 0]
    true = promoters[promoters["label_promoter"] == 1]
    assert len(true) == 18
    starts = {(row.contig, row.start + 249 if row.strand == "+" else row.end - 250) for row in each(true)}
    for row in each(promoters[promoters["label_promoter"] == 0]):
        near = (row.start - WINDOWS.exclusion, row.end + WINDOWS.exclusion)
        assert not any(contig == row.contig and near[0] <= base < near[1] for contig, base in starts)
    assert set(promoters["negative_kind"]) == {"", "gene_body", "intergenic", "shifted"}


def test_classes_are_balanced_in_every_split(loaded: tuple[pd.DataFrame, dict[str, Any], list[str]]) -> None:
    rows = loaded[0]
    for task in ("promoter", "donor"):
        own = rows[rows[f"label_{task}"] >= 0]
        assert own.groupby("split")[f"label_{task}"].mean().to_dict() == dict.fromkeys(split.SPLITS, 0.5)


def test_no_base_and_no_sequence_is_on_two_sides(loaded: tuple[pd.DataFrame, dict[str, Any], list[str]]) -> None:
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


def test_rows_are_the_same_again_and_draws_of_a_task_do_not_move_those_of_another(toy: Path) -> None:
    both = load(toy)[0]
    pd.testing.assert_frame_equal(both, load(toy)[0])
    alone = load(toy, DONOR)[0]
    assert alone["sequence"].tolist() == both.loc[both["label_donor"] >= 0, "sequence"].tolist()


def test_the_report_counts_what_happened(loaded: tuple[pd.DataFrame, dict[str, Any], list[str]]) -> None:
    rows, report, _ = loaded
    assert (report["contigs"], report["genes"], report["transcripts"]) == (3, 18, 18)
    assert report["split"]["rule"] == "family"
    assert sum(report["split"]["bases"].values()) == report["bases"]
    counts = report["tasks"]["donor"]["rows"]
    assert sum(n for side in counts.values() for n in side.values()) == (rows["label_donor"] >= 0).sum()
    assert abs(report["tasks"]["donor"]["gc"]["positive"] - report["tasks"]["donor"]["gc"]["negative"]) < 0.03


def test_without_families_whole_contigs_are_held_out(tmp_path: Path) -> None:
    rows, report, _ = load(tiny_genome.write(tmp_path, families=False))
    assert report["split"]["rule"] == "contig"
    assert rows.groupby("contig")["split"].nunique().tolist() == [1, 1, 1]


def edit(folder: Path, name: str, old: str, new: str) -> Path:
    path = tiny_genome.write(folder) / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


def test_contig_names_that_do_not_match_are_refused_with_both_lists(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match="does not have: c0; annotation: c0, c1, c2; FASTA: chr0, c1, c2"):
        load(edit(tmp_path, "genome.fa", ">c0", ">chr0"))


def test_long_lists_of_contigs_are_cut(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path, contigs=14, strands="+")
    (folder / "genome.fa").write_text(">other\nACGT\n")
    with pytest.raises(EpisomeError, match="c7 and 2 more; annotation"):
        load(folder)


def test_an_annotation_of_another_assembly_is_refused(tmp_path: Path) -> None:
    folder = edit(
        tmp_path, "genes.gtf", "#!genome", tiny_genome.gtf_lines("x", "c1", (99_000, 100_300), "+")[2] + "\n#"
    )
    with pytest.raises(EpisomeError, match=r"ends at base 99400 of contig 'c1', which has \d+; another assembly"):
        load(folder)


def test_a_letter_that_is_no_nucleotide_names_its_record(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match="record 'c1': character '-' at position 1 "):
        load(edit(tmp_path, "genome.fa", ">c1 toy\n", ">c1 toy\n-"))


def test_missing_and_doubled_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(EpisomeError, match=r"wanted one of genome\.fa and genome\.fa\.gz; there: neither"):
        load(tmp_path)
    (tiny_genome.write(tmp_path) / "genes.gtf.gz").touch()
    with pytest.raises(EpisomeError, match=r"there: genes\.gtf and genes\.gtf\.gz"):
        load(tmp_path)


def test_a_task_without_a_single_site_is_refused(tmp_path: Path) -> None:
    folder = edit(tmp_path, "genes.gtf", "\tCDS\t", "\tother\t")
    with pytest.raises(EpisomeError, match="no window for task 'tis'"):
        load(folder, TIS)


def test_noncoding_genes_have_no_promoter_but_donors(tmp_path: Path) -> None:
    folder = edit(
        tmp_path, "genes.gtf", 'gene_id "c0g0"; gene_biotype "protein_coding"', 'gene_id "c0g0"; gene_biotype "lncRNA"'
    )
    rows = load(folder)[0]
    assert (rows["label_promoter"] == 1).sum() == 17
    assert (rows["label_donor"] == 1).sum() == 18


def test_what_cannot_be_a_window_is_dropped_and_counted(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path, contigs=4, strands="+-+", families=False)
    fasta = (folder / "genome.fa").read_text().splitlines()
    # c0 starts inside its first promoter window; c1 has N there; c2's first donor is no GT; c3 repeats c2.
    # `twin` starts 50 bases after another gene and has its donor; what `early` has for a donor is chance, and no GT.
    start, width = tiny_genome.SPACE, tiny_genome.EXON
    fasta[3] = fasta[3][: start - 60] + "N" * 60 + fasta[3][start:]
    fasta[5] = fasta[5][: start + width] + "CC" + fasta[5][start + width + 2 :]
    fasta[7] = fasta[5]
    (folder / "genome.fa").write_text("\n".join(fasta) + "\n")
    lines = tiny_genome.gtf_lines("early", "c0", (20, 1020), "+")
    lines += [
        line.replace('"c1g0', '"twin').replace("1201\t", "1251\t")
        for line in tiny_genome.gtf_lines("c1g0", "c1", (1200, 2500), "+")
    ]
    with (folder / "genes.gtf").open("a") as gtf:
        gtf.write("\n".join(lines) + "\n")
    _, report, _ = load(folder)
    assert report["tasks"]["promoter"]["dropped"] == {"duplicate": 3, "merged": 1, "off_the_contig": 1, "too_many_n": 1}
    assert report["tasks"]["donor"]["dropped"] == {"duplicate": 3, "other_motif": 3}


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
    rows, report, texts = load(folder, PROMOTER)
    assert report["tasks"]["promoter"]["dropped"] == {"between_splits": 1}
    assert rows.loc[rows["label_promoter"] == 1, "group"].tolist() == [train]
    # Contigs without a gene hold nothing out, so all their text is free.
    unannotated = "".join(genome.read(folder, WINDOWS, 3).contigs["c1"])
    assert sum(text in unannotated for text in texts) == len(unannotated) // WINDOWS.corpus_window


def test_the_corpus_takes_the_asked_share_of_chunks_with_few_n(tmp_path: Path) -> None:
    folder = tiny_genome.write(tmp_path)
    every = load(folder)[2]
    some = load(folder, corpus_share=0.3)[2]
    assert set(some) < set(every)
    assert 0.2 < len(some) / len(every) < 0.4
    assert all(len(text) == WINDOWS.corpus_window for text in every)
    assert load(folder, corpus_share=0.0)[2] == []


def test_the_simulated_dialect_and_real_genomes_are_read(shared: Path) -> None:
    rows, report, _ = load(shared / "data/genomes/human_mini")
    assert report["split"]["rule"] == "locus"
    donors = rows[rows["label_donor"] == 1]
    assert len(donors) > 800
    assert report["tasks"]["donor"]["dropped"]["other_motif"] < 0.02 * len(donors)
