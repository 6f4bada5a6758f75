"""What a gene makes: the spliced transcript, and the protein where the annotation states a coding part.

Orthologues of far relatives are alike as proteins long after their bases are not: in the embedded world human and fly
share 60 % of the coding bases, too few for a search among nucleotides, and all but a few families as proteins.
But a copy that codes for nothing, such as a processed pseudogene or a gene of which only a transcript with a retained
intron is annotated, has no protein to be compared: so a coding gene is compared both ways.
An annotation without any coding part (exons only) would keep its genes from every comparison with proteins; there the
longest open frame of a transcript stands for it, where it is long.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import product

from episome import annotation
from episome.annotation import Interval, Transcript
from episome.contigs import Contigs
from episome.kin import Kind, Member
from episome.sequence import reverse_complement

# NCBI translation table 1, codons in the order TTT, TTC, TTA, … GGG.
_STANDARD = dict(
    zip(
        map("".join, product("TCAG", repeat=3)),
        "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG",
        strict=True,
    )
)

# Residues; of random sequence, in which every 21st codon is a stop, one open frame in 130 is as long.
_LONG_FRAME = 100


def members(transcripts: Sequence[Transcript], contigs: Contigs, species: str) -> list[Member]:
    """What is compared of every gene: of its representative transcript, the protein, if it has one, and the exons.

    Args:
        transcripts: all transcripts of the genome.
        contigs: its sequences.
        species: key of the species.
    """
    without_cds = not any(transcript.cds for transcript in transcripts)
    found: list[Member] = []
    for transcript in representatives(transcripts):
        joined = spliced(transcript, contigs)
        protein = open_frame(joined) if without_cds else _protein(transcript, contigs)
        made: list[tuple[Kind, str]] = [("protein", protein)] if protein else []
        found += [
            Member(
                species=species,
                name=transcript.gene,
                kind=kind,
                sides=(),
                family=transcript.family,
                sequence=sequence,
            )
            for kind, sequence in [*made, ("transcript", joined)]
        ]
    return found


def representatives(transcripts: Sequence[Transcript]) -> list[Transcript]:
    """One transcript for each gene, in the order of the genes' names."""
    by_gene: dict[str, list[Transcript]] = defaultdict(list)
    for transcript in transcripts:
        by_gene[transcript.gene].append(transcript)
    return [annotation.representative(by_gene[gene]) for gene in sorted(by_gene)]


def translate(coding: str) -> str:
    """Protein of a coding sequence in frame 0, up to its first stop; X where a codon holds N.

    >>> translate("ATGGCNTAAGGG")
    'MX'
    """
    return _residues(coding).partition("*")[0]


def open_frame(text: str) -> str:
    """The longest stretch from a start codon to a stop, or the end, on this strand; "" where none has 100 residues."""
    frames = (_residues(text[offset:]).split("*") for offset in range(3))
    longest = max((part[part.find("M") :] for frame in frames for part in frame if "M" in part), key=len, default="")
    return longest if len(longest) >= _LONG_FRAME else ""


def spliced(transcript: Transcript, contigs: Contigs) -> str:
    """Exons, joined 5' to 3' of the transcript's strand."""
    return _joined(transcript, transcript.exons, contigs)


def _protein(transcript: Transcript, contigs: Contigs) -> str:
    """Of the annotated coding part; where its first base may be the middle of a codon, of its longest frame."""
    coding = _joined(transcript, transcript.cds, contigs)
    offsets = (0,) if transcript.start_complete else (0, 1, 2)
    return max((translate(coding[offset:]) for offset in offsets), key=len)


def _residues(coding: str) -> str:
    return "".join(_STANDARD.get(coding[i : i + 3], "X") for i in range(0, len(coding) - 2, 3))


def _joined(transcript: Transcript, parts: Sequence[Interval], contigs: Contigs) -> str:
    text = "".join(contigs.fetch(transcript.contig, start, end) for start, end in parts)
    return text if transcript.strand == "+" else reverse_complement(text)
