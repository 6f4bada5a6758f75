"""The data half of params.yaml: where a species' data come from, and how they become rows."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, Field(min_length=1)]


def _over_https(url: str) -> str:
    """A base URL as it is, if what comes from it cannot be altered on the way."""
    parts = urlsplit(url)
    if parts.scheme == "ftp":
        raise ValueError(
            f"files come over https only; most ftp hosts serve the same tree at {url.replace('ftp', 'https', 1)}"
        )
    if not parts.hostname or (parts.scheme != "https" and (parts.scheme, parts.hostname) != ("http", "127.0.0.1")):
        raise ValueError("wanted https://host/path (plain http for 127.0.0.1 alone)")
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_over_https)]


class Frozen(BaseModel):
    """Values that refuse unknown keys and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Source(Frozen):
    """What every source states.

    Attributes:
        folder: what DVC tracks; the source's files are in it.
        licence: under which terms the data may be used; for the dataset card.
        citation: whom to name; for the dataset card.
    """

    folder: Path
    licence: Text
    citation: Text


class GenomeSource(_Source):
    """A folder with one FASTA and one annotation, plain or gzip.

    Attributes:
        fasta: file name; None where the folder holds one ``.fa``, ``.fasta`` or ``.fna`` only.
        annotation: file name; None where the folder holds one ``.gtf``, ``.gff3`` or ``.gff`` only.
        aliases: file name of a table of contig names (UCSC chromAlias or NCBI assembly report); None where the
            two name their contigs alike.
    """

    kind: Literal["genome"]
    tasks: Annotated[tuple[Name, ...], Field(min_length=1)]
    fasta: str | None = None
    annotation: str | None = None
    aliases: str | None = None

    @property
    def task_names(self) -> tuple[str, ...]:
        """Tasks this source has labels for, in order."""
        return self.tasks


class LabelledSource(_Source):
    """GUE-style folders, one per task: ``{train,dev,test}.csv[.gz]`` with columns ``sequence,label``.

    Attributes:
        sets: task → sub-folder.
    """

    kind: Literal["labelled"]
    sets: Annotated[dict[Name, str], Field(min_length=1)]

    @property
    def task_names(self) -> tuple[str, ...]:
        """Tasks this source has labels for, in order."""
        return tuple(self.sets)


class IntervalSource(_Source):
    """Genomic-benchmarks folders, one per task: ``metadata.yaml`` and ``{train,test}/<class>.csv[.gz]``.

    Attributes:
        sets: task → sub-folder; its class files are named as the task's labels.
        reference: FASTA file in `folder` that the intervals speak of.
        aliases: table of contig names, as for `GenomeSource`.
    """

    kind: Literal["intervals"]
    sets: Annotated[dict[Name, str], Field(min_length=1)]
    reference: str
    aliases: str | None = None

    @property
    def task_names(self) -> tuple[str, ...]:
        """Tasks this source has labels for, in order."""
        return tuple(self.sets)


class MultilabelSource(_Source):
    """``{train,dev,test}.csv[.gz]`` with a column ``sequence`` and one 0/1 column per task; empty is missing.

    Instead of the task columns, one column ``labels`` may name the labels that apply, separated by ``;``.

    Attributes:
        tasks: their labels, in the order of the head's columns.
        exclusive: the tasks are the classes of one question: exactly one applies to each row, and each is learnt
            against the rest (Rifkin & Klautau 2004).
    """

    kind: Literal["multilabel"]
    tasks: Annotated[tuple[Name, ...], Field(min_length=1)]
    exclusive: bool = False

    @property
    def task_names(self) -> tuple[str, ...]:
        """Tasks this source has labels for, in order."""
        return self.tasks


Source = Annotated[GenomeSource | LabelledSource | IntervalSource | MultilabelSource, Field(discriminator="kind")]


class SplitShares(Frozen):
    """Shares of the rows; they add up to one."""

    train: Share
    val: Share
    test: Share

    @model_validator(mode="after")
    def _whole(self) -> "SplitShares":
        if abs(self.train + self.val + self.test - 1) > 1e-9:
            raise ValueError(f"the shares add up to {self.train + self.val + self.test}, not to 1")
        return self


class Negatives(Frozen):
    """Negatives of one task made from a genome.

    Attributes:
        per_positive: how many for each positive.
        kinds: kind → its share relative to the others.
    """

    per_positive: Positive
    kinds: Annotated[dict[Name, Positive], Field(min_length=1)]


class Tiles(Frozen):
    """Windows of the ``contains_*`` tasks, which ask what a stretch of genome holds.

    Attributes:
        most: rows at most.
        genic_share: share of them drawn where a gene is; the rest lies anywhere.
    """

    most: Count
    genic_share: Share


class Windows(Frozen):
    """How genomes and labelled sets become rows.

    Attributes:
        candidates: negatives drawn for each one wanted, from which those like the positives in GC are taken.
        exclusion: no negative within this many bases of an annotated site of any transcript.
        min_motif_share: annotated sites of a genome that must carry their motif (GT, AG, ATG); fewer mean a wrong
            strand, offset or assembly.
        min_annotated: annotated bases whose contig the FASTA must have.
        split_by: ``contig`` (whole contigs), ``family`` (homology families), ``locus``, or ``auto``: family where
            the annotation states families, else contig where that leaves every side half of its share, else family
            or locus. Whatever it is, a homology family has one side, the same in every species (`episome.territory`).
    """

    ambiguous: Literal["n", "error"]
    max_n_share: Share
    exclusion: Annotated[int, Field(ge=0)]
    min_motif_share: Share
    min_annotated: Share
    candidates: Count
    negatives: dict[Name, Negatives]
    tiles: Tiles
    split: SplitShares
    split_by: Literal["auto", "family", "contig", "locus"]
    corpus_window: Count
    corpus_share: Share


class Homology(Frozen):
    """Which genes and sequences count as related.

    Attributes:
        method: ``auto`` takes mmseqs2 where it is installed, else the k-mer bands of numpy; the report says which.
        identity: least share of equal positions of two nucleotide sequences.
        protein_identity: the same of two proteins, which stay alike longer.
        coverage: least share of the longer sequence that the alignment covers.
    """

    method: Literal["auto", "mmseqs", "numpy"]
    identity: Share
    protein_identity: Share
    coverage: Share


FileRole = Literal["fasta", "annotation", "aliases"]


class FetchFiles(Frozen):
    """Where the files of one species lie below a base URL; ``{release}`` stands for the release.

    Attributes:
        fasta: path of the FASTA file.
        annotation: path of the GTF or GFF3 file.
        aliases: path of a table of contig names, where the two name their contigs differently.
        base: another base URL for this species alone.
        checksums: another `Fetch.checksums` for this species alone, or for some of its files.
    """

    fasta: Text
    annotation: Text
    aliases: Text | None = None
    base: Url | None = None
    checksums: Text | dict[FileRole, Text] | None = None

    @property
    def paths(self) -> dict[FileRole, str]:
        """Role → path, of those that there are."""
        paths: dict[FileRole, str] = {"fasta": self.fasta, "annotation": self.annotation}
        return paths | ({"aliases": self.aliases} if self.aliases else {})


class Fetch(Frozen):
    """What `episome data fetch` downloads; no stage of the pipeline does.

    Attributes:
        folder: a folder per species is made in it; ``{release}`` stands for the release.
        base: URL that the paths are below.
        release: one release, by number: what a host calls current changes under the same URL.
        checksums: file beside each download that states what it must be, or ``none`` where the host has none.
        timeout_seconds: how long the host may be silent when asked what it has; DVC has a limit of its own.
        species: name of the folder → its files.
    """

    folder: Text
    base: Url
    release: Count
    checksums: Text
    timeout_seconds: Positive
    species: Annotated[dict[Name, FetchFiles], Field(min_length=1)]

    @model_validator(mode="after")
    def _paths_are_of_one_release(self) -> "Fetch":
        for name, files in self.species.items():
            for role, path in files.paths.items():
                where = f"species.{name}.{role}: {path!r}"
                if path.startswith("/") or path.endswith("/"):
                    raise ValueError(f"{where}: wanted the path of a file below {files.base or self.base}")
                if any(part.startswith("current") for part in path.split("/")):
                    raise ValueError(f"{where} moves with every release; wanted a path with release-{{release}}")
        return self
