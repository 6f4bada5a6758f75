"""Seconds and memory that a large genome takes to become rows: simulated bases, 500 Mb and 15,000 genes.

    python benchmarks/genome_memory.py [MEGABASES]

The genome is random but for GT..AG around the introns and ATG before the coding parts, so it says nothing about
biology. It is written to a temporary folder and read in a process of its own, whose peak memory is reported.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from episome import genome, params
from episome.sources import GenomeSource

_CONTIGS = 20
_GENE = 15_000
_SPACE = 33_333 - _GENE
_EXONS = 8
_EXON = 180
_LINE = 60
_TASKS = (
    *("promoter", "donor", "acceptor", "tis"),
    *(f"contains_{name}" for name in ("tss", "donor", "acceptor", "tis", "cds", "intron")),
)
_COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")


def main(megabases: int) -> None:
    """Write the genome, load it in a child, print what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        genes = write(folder, megabases * 1_000_000 // _CONTIGS)
        done = subprocess.run(
            [sys.executable, __file__, "load", name], capture_output=True, text=True, check=True, timeout=3600
        )
    print(f"simulated genome: {megabases} Mb in {_CONTIGS} contigs, {genes} genes, {genes * _EXONS} exons")
    print(done.stdout, end="")


def write(folder: Path, length: int) -> int:
    """A FASTA and a GTF with contigs of one length; the number of genes."""
    rng = np.random.default_rng(1)
    genes = 0
    with (folder / "genome.fa").open("wb") as fasta, (folder / "genes.gtf").open("w", encoding="ascii") as gtf:
        for c in range(_CONTIGS):
            bases = np.frombuffer(b"ACGT", dtype=np.uint8)[rng.integers(0, 4, length, dtype=np.uint8)]
            for start in range(_SPACE, length - _GENE - _SPACE, _GENE + _SPACE):
                strand = "+-"[int(rng.integers(2))]
                gtf.writelines(_plant(bases, f"chr{c + 1}", start, strand, f"SIM{genes:06d}", rng))
                genes += 1
            fasta.write(f">chr{c + 1} simulated\n".encode())
            whole = length // _LINE * _LINE
            lines = np.full((whole // _LINE, _LINE + 1), ord("\n"), dtype=np.uint8)
            lines[:, :_LINE] = bases[:whole].reshape(-1, _LINE)
            fasta.write(lines.tobytes() + bases[whole:].tobytes() + b"\n")
    return genes


def _plant(
    bases: npt.NDArray[np.uint8], contig: str, start: int, strand: str, name: str, rng: np.random.Generator
) -> list[str]:
    """Write a gene's motifs into the bases; its GTF lines. Exons 2 to last but one and parts of the ends are coding."""
    body = bases[start : start + _GENE].tobytes()
    own = bytearray(body if strand == "+" else body.translate(_COMPLEMENT)[::-1])
    cuts = np.sort(rng.choice(np.arange(1, (_GENE - _EXON) // 400), _EXONS - 1, replace=False)) * 400
    exons = [(0, _EXON), *((int(cut), int(cut) + _EXON) for cut in cuts[:-1]), (_GENE - _EXON, _GENE)]
    for (_, end), (begin, _) in pairwise(exons):
        own[end : end + 2], own[begin - 2 : begin] = b"GT", b"AG"
    own[90:93] = b"ATG"
    coding = [(90, _EXON), *exons[1:-1], (_GENE - _EXON, _GENE - 90)]
    written = bytes(own) if strand == "+" else bytes(own).translate(_COMPLEMENT)[::-1]
    bases[start : start + _GENE] = np.frombuffer(written, dtype=np.uint8)
    both = f'gene_id "{name}"; transcript_id "{name}T"; gene_biotype "protein_coding"; tag "Ensembl_canonical";'
    lines = []
    for feature, pieces in (("exon", exons), ("CDS", coding)):
        for a, b in pieces:
            first, last = (start + a + 1, start + b) if strand == "+" else (start + _GENE - b + 1, start + _GENE - a)
            lines.append(f"{contig}\tsimulated\t{feature}\t{first}\t{last}\t.\t{strand}\t.\t{both}\n")
    return lines


def load(folder: Path) -> None:
    """Rows of all tasks, as the stage `windows` makes them, and what that took."""
    settings = params.read()
    source = GenomeSource(kind="genome", folder=folder, tasks=_TASKS, licence="none", citation="simulated")
    tasks = tuple(settings.task(name) for name in _TASKS)
    began = time.perf_counter()
    rows, report, texts = genome.load(
        source, tasks, species="sim", origin="simulated", windows=settings.windows, families={}, seed=settings.seed
    )
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    counts = {
        task: sum(map(sum, (side.values() for side in part["rows"].values()))) for task, part in report["tasks"].items()
    }
    print(f"{len(rows)} rows and {len(texts)} sequences for the corpus in {seconds:.0f} s, peak memory {peak:.0f} MB")
    print(json.dumps(counts))


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        load(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 500)
