"""Sites come back at their exact base: planted ones, those of a simulated genome, a rare one in the real genomes."""

import gzip
import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from episome.bundle import CalibratedTask
from episome.sequence import reverse_complement
from episome_cli.main import main
from tests import simulated, toy_bundles, worlds
from tests.conftest import ROOT
from tests.hand_count import FOLDERS

RARE = "GTAAGTAT"
TASKS = (
    *toy_bundles.TASKS,
    CalibratedTask(name="rare", scope="site", window=40, motif=RARE, threshold=0.0, temperature=1.0),
)

Site = tuple[str, int, str]  # record, first base of the motif on the plus strand, strand


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worlds, "TASKS", TASKS)
        return worlds.write(tmp_path_factory.mktemp("world"))


def annotate(shelf: Path, output: Path, *words: str) -> None:
    """Write the sites of one task, whatever their score."""
    done = CliRunner().invoke(
        main,
        ["annotate", "-s", "human_sim", "--threshold", "0", "-o", str(output), *words],
        env={"EPISOME_SHELF": str(shelf), "EPISOME_PARAMS": str(ROOT / "params.yaml")},
    )
    assert (done.exit_code, done.output) == (0, "")


def sites_of(gff3: Path) -> list[Site]:
    rows = (line.split("\t") for line in gff3.read_text().splitlines() if not line.startswith("#"))
    return [(row[0], int(row[3]) - 1, row[6]) for row in rows]


def by_hand(record: str, sequence: str, motif: str) -> Iterator[Site]:
    """Every site of a record, by position and strand; at no more than half N in the 40 bases around."""
    for at in range(len(sequence)):
        here = sequence[at : at + len(motif)]
        for strand, wanted, ahead in (("+", motif, 20), ("-", reverse_complement(motif), 20 - len(motif))):
            around = sequence[max(0, at - ahead) : at - ahead + 40]
            if here == wanted and len(around) - around.count("N") >= 20:  # beyond the ends everything is N
                yield record, at, strand


def write_fasta(path: Path, records: Mapping[str, str]) -> None:
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in records.items()))


def check(gff3: Path) -> None:
    """The tools that are here take the file."""
    if shutil.which("gt"):
        done = subprocess.run(["gt", "gff3validator", str(gff3)], capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("input is valid GFF3\n", "")
    if shutil.which("bedtools"):
        for words in (["sort", "-i"], ["merge", "-i"]):
            sorted_ = subprocess.run(["bedtools", *words, str(gff3)], capture_output=True, text=True, check=True)
            assert (bool(sorted_.stdout), sorted_.stderr) == (True, "")


def test_planted_sites_come_back_at_their_base_on_both_strands_at_ends_and_beside_n(
    shelf: Path, tmp_path: Path
) -> None:
    # A and G alone hold no GT on either strand, so that what is planted is all there is.
    length, planted = 300, {0: "GT", 50: "AC", 80: "GT", 82: "GT", 150: "GT", 162: "AC", 298: "AC"}
    bases = ["AG"[n % 3 % 2] for n in range(length)]
    bases[152:162] = "N" * 10
    for at, motif in planted.items():
        bases[at : at + 2] = motif
    sequence = "".join(bases)
    # The whole genome the other way round: every site on the other strand, at the mirrored place.
    write_fasta(tmp_path / "in.fa", {"one": sequence, "two": reverse_complement(sequence)})
    annotate(shelf, tmp_path / "out.gff3", "-t", "donor", str(tmp_path / "in.fa"))
    strand = {"GT": "+", "AC": "-"}
    one = [("one", at, strand[motif]) for at, motif in sorted(planted.items())]
    two = sorted(("two", length - 2 - at, strand[reverse_complement(motif)]) for at, motif in planted.items())
    assert sites_of(tmp_path / "out.gff3") == [*one, *two]
    flagged = [line.split("\t")[3] for line in (tmp_path / "out.gff3").read_text().splitlines() if "flags=edge" in line]
    assert flagged == ["1", "299", "1", "299"]
    check(tmp_path / "out.gff3")


@pytest.mark.parametrize("species", ["human_sim", "fly_sim"])
def test_splice_sites_of_a_simulated_genome_come_back_at_their_base(shelf: Path, tmp_path: Path, species: str) -> None:
    read = simulated.species()[species]
    donors: set[Site] = set()
    for model in read.coding():
        for left, right in itertools.pairwise(model.exons):
            donors.add((model.contig, left[1] if model.strand == "+" else right[0] - 2, model.strand))
    known = {site for site in donors if read.contigs[site[0]][site[1] : site[1] + 2] == {"+": "GT", "-": "AC"}[site[2]]}
    assert len(known) > 0.9 * len(donors) > 100
    # Asked about are the donors' bases, the ends of every contig, and what lies around runs of N.
    spans = {(contig, at, at + 2) for contig, at, _ in known}
    for contig, sequence in read.contigs.items():
        spans |= {(contig, 0, 30), (contig, len(sequence) - 30, len(sequence))}
        spans |= {
            (contig, max(0, run.start() - 15), min(run.end() + 15, len(sequence)))
            for run in re.finditer("N+", sequence)
        }
    (tmp_path / "in.bed").write_text("".join(f"{contig}\t{start}\t{end}\n" for contig, start, end in spans))
    write_fasta(tmp_path / "in.fa", read.contigs)
    annotate(shelf, tmp_path / "out.gff3", "-t", "donor", "--bed", str(tmp_path / "in.bed"), str(tmp_path / "in.fa"))
    found = sites_of(tmp_path / "out.gff3")
    expected = {
        site
        for contig, sequence in read.contigs.items()
        for site in by_hand(contig, sequence, "GT")
        if any(start <= site[1] < end for name, start, end in spans if name == contig)
    }
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert known <= expected
    check(tmp_path / "out.gff3")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_rare_site_of_a_real_genome_is_found_wherever_it_is(
    shelf: Path, shared: Path, tmp_path: Path, folder: str
) -> None:
    source = shared / "data/genomes" / folder / "genome.fa.gz"
    annotate(shelf, tmp_path / "out.gff3", "-t", "rare", str(source))
    expected = []
    for record in gzip.decompress(source.read_bytes()).decode().split(">")[1:]:
        header, _, rest = record.partition("\n")
        sequence = rest.replace("\n", "").upper()
        for strand, motif in (("+", RARE), ("-", reverse_complement(RARE))):
            expected += [(header.split()[0], found.start(), strand) for found in re.finditer(f"(?={motif})", sequence)]
    found = sites_of(tmp_path / "out.gff3")
    assert sorted(found) == sorted(expected)
    assert len(found) > 20
    check(tmp_path / "out.gff3")
