"""What is known about genomes: published frequencies, read from facts.json beside this file.

Every block of that file names its source; `derived` marks what is an estimate of this project instead.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SPECIES = ("human", "mouse", "zebrafish", "fly")
CODONS = tuple(a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT")
LONGEST_RANK = 0.95  # where the long part of the intron lengths is cut
AMINO_ACIDS = "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"
"""Standard genetic code in the order of `CODONS`; ``*`` is a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motif:
    """A signal with a position: a frequency matrix per species, hung on an anchor of the gene.

    Attributes:
        name: key in facts.json.
        anchor: ``tss``, ``tata``, ``start_codon``, ``intron_start``, ``intron_end`` or ``gene_end``; the last two
            name the first base after the intron or gene; ``tata`` is the first base of the gene's TATA motif, or
            where that would be.
        offset: lowest and highest distance in bases from the anchor to the motif's first column.
        columns: species → float64[width, 4], each row adding up to one, bases A C G T.
        use: species → share of the anchors that carry it.
    """

    name: str
    anchor: str
    offset: tuple[int, int]
    columns: Mapping[str, Floats]
    use: Mapping[str, float]

    @property
    def promoter(self) -> bool:
        """Whether it belongs to the promoter, which is gained and lost along the tree."""
        return self.anchor in ("tss", "tata")

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return len(self.columns[SPECIES[0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the species tree.

    Attributes:
        parent: the node above; None for the root.
        length: neutral substitutions per site on the branch that leads here.
        blend: species → weight with which its facts make up this node's; adds up to one.
    """

    parent: str | None
    length: float
    blend: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The whole of facts.json, ready to compute with.

    Attributes:
        nodes: name → node, parents before children.
        motifs: in the order of the file.
        composition, mutation, lengths, repeats, transcripts, noncoding, contigs: blocks of the file as they are.
        codons: species → float64[64], zero for stops.
        stops: species → float64[64], zero for sense codons.
    """

    nodes: Mapping[str, Node]
    motifs: tuple[Motif, ...]
    composition: Mapping[str, Any]
    mutation: Mapping[str, Any]
    lengths: Mapping[str, Any]
    repeats: Mapping[str, Any]
    transcripts: Mapping[str, Any]
    noncoding: Mapping[str, Any]
    contigs: Mapping[str, Any]
    codons: Mapping[str, Floats]
    stops: Mapping[str, Floats]


def _shares(rows: Any) -> Floats:
    table = np.asarray(rows, dtype=np.float64)
    return table / table.sum(axis=-1, keepdims=True)


def _codon_table(usage: Mapping[str, float]) -> Floats:
    return _shares([usage.get(codon, 0.0) for codon in CODONS])


def _motif(name: str, raw: Mapping[str, Any]) -> Motif:
    low, high = raw["offset"]
    return Motif(
        name=name,
        anchor=raw["anchor"],
        offset=(low, high),
        use=raw["use"],
        columns={species: _shares(raw["columns"][species]) for species in SPECIES},
    )


@cache
def load() -> Facts:
    """Read facts.json; every species' frequencies are brought to add up to one exactly."""
    raw = json.loads(files("episome.simulate").joinpath("facts.json").read_text(encoding="utf-8"))
    return Facts(
        nodes={name: Node(**node) for name, node in raw["tree"]["nodes"].items()},
        motifs=tuple(_motif(name, motif) for name, motif in raw["motifs"].items()),
        composition=raw["composition"],
        mutation=raw["mutation"],
        lengths=raw["lengths"],
        repeats=raw["repeats"],
        transcripts=raw["transcripts"],
        noncoding=raw["noncoding"],
        contigs=raw["contigs"],
        codons={species: _codon_table(raw["codons"]["usage"][species]) for species in SPECIES},
        stops={species: _codon_table(raw["stops"]["usage"][species]) for species in SPECIES},
    )


def intron_quantiles(facts: Facts, species: str, ranks: Floats) -> Floats:
    """Intron lengths in bases at the given ranks (0..1) of one species: the short part, then the scaled long one."""
    known = facts.lengths["intron"][species]
    short, over = known["short_share"], known["over"]
    scale = known["mean_beyond"] * facts.lengths["long_intron_scale"][species]
    shares, quantiles = np.array(known["short"]).T
    inside = np.exp(np.interp(ranks / short, shares, np.log(quantiles)))
    beyond = np.clip((ranks - short) / (1 - short), 0.0, LONGEST_RANK)
    return np.where(ranks <= short, inside, over - scale * np.log1p(-beyond))


def path_to(nodes: Mapping[str, Node], name: str) -> tuple[str, ...]:
    """Names of the nodes from the root down to ``name``, both included."""
    parent = nodes[name].parent
    return (name,) if parent is None else (*path_to(nodes, parent), name)


def newick(nodes: Mapping[str, Node], name: str) -> str:
    """The tree below ``name`` in Newick notation, without the final semicolon."""
    inner = ",".join(newick(nodes, child) for child, node in nodes.items() if node.parent == name)
    return (f"({inner})" if inner else "") + f"{name}:{nodes[name].length:g}"
