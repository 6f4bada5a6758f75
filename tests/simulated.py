"""A small simulated world, and its files read back by a parser that shares nothing with the writer."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from episome import simulate
from episome.sequence import reverse_complement
from episome.simulate import facts

ALL = ("human_sim", "mouse_sim", "zebrafish_sim", "fly_sim")
GENES = 60
SEED = 7
TRANSLATE = dict(zip(facts.CODONS, facts.AMINO_ACIDS, strict=True))


@dataclass
class Model:
    """A transcript as the GTF tells it; coordinates 0-based half-open."""

    contig: str
    strand: str
    attributes: dict[str, str]
    tags: list[str]
    parts: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)

    @property
    def gene(self) -> str:
        return self.attributes["gene_id"]

    @property
    def family(self) -> str:
        return self.attributes.get("family", "")

    @property
    def biotype(self) -> str:
        return self.attributes["gene_biotype"]

    @property
    def canonical(self) -> bool:
        return "Ensembl_canonical" in self.tags

    @property
    def exons(self) -> list[tuple[int, int]]:
        return sorted(part[:2] for part in self.parts["exon"])


@dataclass(frozen=True)
class Read:
    """One species read back from its files."""

    headers: dict[str, str]
    contigs: dict[str, str]
    lower: dict[str, int]
    genes: dict[str, tuple[str, str, int, int]]
    transcripts: dict[str, Model]
    remarks: list[str]
    truth: dict[str, Any]

    def coding(self) -> list[Model]:
        return [found for found in self.transcripts.values() if found.biotype == "protein_coding"]

    def canonical(self) -> list[Model]:
        return [found for found in self.coding() if found.canonical]

    def bases(self, model: Model, start: int, end: int) -> str:
        found = self.contigs[model.contig][start:end]
        return found if model.strand == "+" else reverse_complement(found)

    def joined(self, model: Model, *features: str) -> str:
        parts = sorted(part for feature in features for part in model.parts.get(feature, []))
        ordered = parts if model.strand == "+" else parts[::-1]
        return "".join(self.bases(model, start, end) for start, end, _ in ordered)

    def introns(self, model: Model) -> list[str]:
        return [self.bases(model, left[1], right[0]) for left, right in pairwise(model.exons)]

    def start(self, model: Model) -> int:
        """The first transcribed base."""
        return model.exons[0][0] if model.strand == "+" else model.exons[-1][1] - 1


def read(folder: Path) -> Read:
    headers, contigs, lower = {}, {}, {}
    for record in gzip.decompress((folder / "genome.fa.gz").read_bytes()).decode().split(">")[1:]:
        header, *lines = record.splitlines()
        name, text = header.split()[0], "".join(lines)
        headers[name], contigs[name], lower[name] = header, text.upper(), sum(map(str.islower, text))
    genes: dict[str, tuple[str, str, int, int]] = {}
    found: dict[str, Model] = {}
    remarks = []
    for line in gzip.decompress((folder / "genes.gtf.gz").read_bytes()).decode().splitlines():
        if line.startswith("#"):
            remarks.append(line)
            continue
        contig, _, feature, start, end, _, strand, frame, rest = line.split("\t")
        pairs = re.findall(r'(\w+) "([^"]*)"', rest)
        if feature == "gene":
            genes[dict(pairs)["gene_id"]] = (contig, strand, int(start) - 1, int(end))
            continue
        tags = [value for key, value in pairs if key == "tag"]
        model = found.setdefault(dict(pairs)["transcript_id"], Model(contig, strand, dict(pairs), tags))
        model.parts.setdefault(feature, []).append((int(start) - 1, int(end), frame))
    truth = json.loads((folder / "truth.json").read_text())
    return Read(headers, contigs, lower, genes, found, remarks, truth)


@cache
def genomes() -> dict[str, simulate.Genome]:
    return {genome.species: genome for genome in simulate.world(genes=GENES, seed=SEED, species=ALL)}


@cache
def species() -> dict[str, Read]:
    read_back = {}
    for name, genome in genomes().items():
        with TemporaryDirectory() as folder:
            simulate.write(genome, Path(folder))
            read_back[name] = read(Path(folder))
    return read_back


def coding() -> Iterator[tuple[Read, Model]]:
    """Every translated transcript of every species."""
    for found in species().values():
        for model in found.coding():
            yield found, model
