"""Clusters by MMseqs2 (Steinegger & Söding 2017, 2018), the program ``mmseqs``, where it is installed.

Proteins go through the cascaded ``easy-cluster``, whose prefilter finds far relatives; nucleotides, which come by the
ten thousand and are near relatives or none, through the linear-time ``easy-linclust``, both strands. Of 1,000 planted
copies (300 bases, 5 % mutated, every other one turned) among 5,000 it finds 999 as it comes, and all with `_KMERS`.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from episome.sources import Homology
from episome.types import EpisomeError

_TAIL = 2000
_KMERS = "200"  # of each nucleotide sequence
# Below so many residues, tables and the index of 6-mers (64 million entries) take longer to make than the search does.
_SMALL = 5_000_000
_AT_ONCE = ("-k", "5", "--single-step-clustering", "1")
_SHORTEST_PROTEIN = 14  # the program extracts no k-mer from shorter ones and fails where there are no others


class MmseqsError(EpisomeError):
    """The program is not installed, or failed."""


def installed() -> bool:
    """Whether the program is on the path."""
    return shutil.which("mmseqs") is not None


def version() -> str:
    """What ``mmseqs version`` says."""
    return _run("version").strip()


def pairs(sequences: Sequence[str], settings: Homology, threads: int, *, protein: bool) -> list[tuple[int, int]]:
    """Each sequence with the representative of its cluster, by position in `sequences`.

    Args:
        sequences: proteins, or upper-case A C G T N; their order may decide which of them represent.
        settings: least identity and coverage.
        threads: of the program.
        protein: what the sequences are; those shorter than 14 residues are left out.

    Raises:
        MmseqsError: the program is missing or failed; the message carries the last of what it said.
    """
    entries = [(i, text) for i, text in enumerate(sequences) if not protein or len(text) >= _SHORTEST_PROTEIN]
    if len(entries) < 2:
        return []
    least = settings.protein_identity if protein else settings.identity
    with tempfile.TemporaryDirectory(prefix="episome-mmseqs-") as name:
        folder = Path(name)
        fasta = folder / "sequences.fa"
        fasta.write_text("".join(f">{i}\n{text}\n" for i, text in entries), encoding="ascii")
        _run(
            "easy-cluster" if protein else "easy-linclust", str(fasta), str(folder / "found"), str(folder / "scratch"),
            *_search(sum(len(text) for _, text in entries), protein=protein),
            "--min-seq-id", str(least), "-c", str(settings.coverage), "--cov-mode", "0", "--cluster-mode", "1",
            "--dbtype", "1" if protein else "2", "--threads", str(threads), "-v", "1",
        )  # fmt: skip
        lines = (folder / "found_cluster.tsv").read_text(encoding="ascii").splitlines()
    return [(int(a), int(b)) for a, b in (line.split("\t") for line in lines) if a != b]


def _search(letters: int, *, protein: bool) -> tuple[str, ...]:
    if protein:
        return _AT_ONCE if letters < _SMALL else ()
    return "--kmer-per-seq", _KMERS


def _run(*arguments: str) -> str:
    try:
        done = subprocess.run(["mmseqs", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise MmseqsError(
            "homology.method is mmseqs, but no program mmseqs is on the path; install it (Debian package mmseqs2) "
            "or set homology.method to numpy"
        ) from error
    if done.returncode:
        raise MmseqsError(f"mmseqs {arguments[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-_TAIL:]}")
    return done.stdout
