"""A genome and its annotation, made into rows: true sites, hard negatives of stated kinds, and unlabelled text.

One code path makes the negatives of every species. A window is kept only where one split owns all of its bases
(`territory`), so nothing is shared between train, val and test, not even by overlap. The genome is never in memory:
`contigs` reads stretches of it from disk, `choose` and `tiles` decide by positions, and only what is chosen is fetched.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from episome import aliases, annotation, choose, contigs, dataset, places, sites, soundness, split, territory, tiles
from episome.annotation import Transcript
from episome.contigs import Contigs
from episome.places import Genome, Places
from episome.sequence import n_share
from episome.sources import GenomeSource, Windows
from episome.types import EpisomeError, Task

_COLUMNS = (
    "sequence", "contig", "start", "end", "strand", "split", "gene", "group", "negative_kind", "lower_case",
)  # fmt: skip
_PACKED = ("", ".gz", ".bgz")
_FASTA = (".fa", ".fasta", ".fna")
_ANNOTATION = (".gtf", ".gff3", ".gff")
# Names of mitochondria (UCSC, Ensembl, FlyBase, SGD, WormBase), of plastids (UCSC, Ensembl, TAIR, NCBI), and of
# alternate haplotypes and patches (UCSC, Ensembl, NCBI): other genetic code, and second copies of what may be held out.
# A haplotype of a phased assembly (`chr1_hap2`, `Chr01_hap1`) is none of these: it may be all that there is.
_LEFT_OUT = re.compile(
    r"([Cc]hr)?(M|MT|mt|Mt|Mito|mitochondrion(_genome)?)|dmel_mitochondrion_genome|MtDNA"
    r"|([Cc]hr)?(Pt|PT|Pltd|[Pp]lastid|[Cc]hloroplast)|[Cc]hrC"
    r"|\w+_(alt|fix)|chr\w+_\w+_hap\d+|CHR_\w+|HSCHR(?!\w*RANDOM)\w*_CTG[\d_]+"
)
_NAMED = 5


class GenomeError(EpisomeError):
    """A FASTA and an annotation that are not there, or make no rows."""


def load(
    source: GenomeSource,
    tasks: Sequence[Task],
    *,
    species: str,
    origin: str,
    windows: Windows,
    families: Mapping[str, str],
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    """Rows of all tasks, a report, and unlabelled training-side text.

    Args:
        source: the folder, and which of its files are meant.
        tasks: the species' tasks, in the order of its head's columns; each names its recipe (`sites.RECIPES`,
            `tiles.CONTENTS`).
        species: key of the species.
        origin: what the rows say they come from.
        windows: numbers of the windows.
        families: gene id → homology family, where one is known.
        seed: decides sides and draws.

    Raises:
        EpisomeError: a file is missing or wrong, contig names or sites do not match, a task has no recipe or no site.
    """
    single, several = _recipes(tasks, windows)
    with opened(source, windows) as (sequences, transcripts, report):
        without = set(report["names"]["left_out"])
        names = tuple(name for name in sequences.lengths if name not in without)
        owners = territory.divide(transcripts, sequences.lengths, windows.split, seed, families, windows.split_by)
        genome = places.survey(sequences, names, transcripts, owners)
        fixed = {"species": species, "origin": origin, "release": "none"}
        frames: list[pd.DataFrame] = []
        reports: dict[str, Any] = {}
        for columns, labels, part in _parts(genome, single, several, windows, f"{seed}:{species}"):
            frames.append(dataset.build(columns | fixed, labels, [task.name for task in tasks]))
            reports |= part
        _refuse_empty(source.folder, reports, genome)
        report |= {"split": owners.report(), "tasks": reports}
        return pd.concat(frames, ignore_index=True), report, list(_corpus(genome, windows, seed))


def _parts(
    genome: Genome, single: Sequence[Task], several: Sequence[Task], windows: Windows, salt: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Columns, labels and report of each task, and of all ``contains_*`` tasks together."""
    for task in single:
        choice = choose.of_task(genome, task, windows, salt)
        columns = _columns(genome, choice.places, task.window or 0, sites.lead(task), choice.kinds)
        yield columns, {task.name: (choice.places["kind"] < 0).astype(np.int8)}, {task.name: choice.report}
    if several:
        found = tiles.of_genome(genome, several, windows, salt)
        width = tiles.width(several)
        columns = _columns(genome, found.places, width, width // 2, tiles.KINDS)
        yield columns, {task.name: found.labels[:, t] for t, task in enumerate(several)}, found.report


@contextmanager
def opened(source: GenomeSource, windows: Windows) -> Iterator[tuple[Contigs, list[Transcript], dict[str, Any]]]:
    """Sequences, transcripts and a report of a genome folder, once the two fit each other.

    Raises:
        EpisomeError: a file is missing or wrong, the annotation speaks of contigs or bases that are not there, or its
            sites are not where it says, or every contig that it speaks of is left out by its name.
    """
    fasta = file(source.folder, source.fasta, _FASTA, "fasta")
    genes = file(source.folder, source.annotation, _ANNOTATION, "annotation")
    table = aliases.read(source.folder / source.aliases) if source.aliases else None
    aliases.meet(contigs.names(fasta), annotation.contigs(genes), table, str(source.folder))
    with contigs.opened(fasta, windows.ambiguous) as sequences:
        lengths = sequences.lengths
        came = annotation.read(genes)
        matched, names = aliases.reconcile(lengths, came.transcripts, table, windows.min_annotated, str(source.folder))
        without = [name for name in lengths if left_out(name, table)]
        transcripts = _remaining(matched, frozenset(without), source.folder)
        report = {
            "kind": "genome",
            "files": {"fasta": fasta.name, "annotation": genes.name},
            "contigs": len(lengths),
            "bases": sum(lengths.values()),
            "sequence": dataclasses.asdict(sequences.counts),
            "names": names | {"left_out": without},
            "soundness": soundness.check(sequences, transcripts, windows.min_motif_share),
            "genes": len({transcript.gene for transcript in transcripts}),
            "transcripts": len(transcripts),
            "strandless": came.strandless,
        }
        yield sequences, transcripts, report


def left_out(contig: str, table: Mapping[str, Sequence[str]] | None) -> bool:
    """Whether a contig is a mitochondrion, a plastid, an alternate haplotype or a patch; nothing is made of those.

    Args:
        contig: name in the FASTA.
        table: every name → all names of its contig (`aliases.read`), any of which may tell, as that of ``NC_012920.1``
            does; None where there is no table.
    """
    return any(_LEFT_OUT.fullmatch(name) for name in (contig, *(table or {}).get(contig, ())))


def _remaining(matched: Sequence[Transcript], without: frozenset[str], folder: Path) -> list[Transcript]:
    """Transcripts on contigs that count.

    Raises:
        GenomeError: there is none; names some of their contigs.
    """
    found = [transcript for transcript in matched if transcript.contig not in without]
    if not found:
        named = sorted({transcript.contig for transcript in matched})
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        raise GenomeError(
            f"{folder}: every annotated contig is by its name a mitochondrion, a plastid, an alternate haplotype or a "
            f"patch, of which no rows are made: {', '.join(named[:_NAMED])}{more}; wanted: an annotation of others, or "
            "other names in FASTA and annotation if these are none of that"
        )
    return found


def file(folder: Path, name: str | None, endings: Sequence[str], key: str) -> Path:
    """The one file that is meant: by its name, or else by its ending, plain or gzip.

    Raises:
        GenomeError: there is none, or more than one.
    """
    if name is not None:
        if not (folder / name).is_file():
            raise GenomeError(f"{folder / name}: no such file; mend source.{key} in params.yaml")
        return folder / name
    wanted = tuple(ending + packed for ending in endings for packed in _PACKED)
    found = sorted(path for path in folder.glob("*") if path.name.endswith(wanted))
    if len(found) != 1:
        came = " and ".join(path.name for path in found) or "none"
        raise GenomeError(
            f"{folder}: wanted one file that ends in {', '.join(endings)} (or with .gz); there: {came}; "
            f"name the one that is meant as source.{key} in params.yaml"
        )
    return found[0]


def _recipes(tasks: Sequence[Task], windows: Windows) -> tuple[list[Task], list[Task]]:
    """Tasks with rows of their own, and those that share rows; refused before anything is read."""
    several = [task for task in tasks if task.name.startswith(tiles.PREFIX)]
    single = [task for task in tasks if task not in several]
    for task in single:
        sites.recipe(task, windows)
    if several:
        tiles.width(several)
    return single, several


def _refuse_empty(folder: Path, reports: Mapping[str, Any], genome: Genome) -> None:
    """Refuse a task without a positive, and say what there was to make one of."""
    for task, report in reports.items():
        if not any(counts.get("positive") for counts in report["rows"].values()):
            genes = genome.genes
            dropped = ", ".join(f"{count} {reason}" for reason, count in report.get("dropped", {}).items()) or "none"
            raise GenomeError(
                f"{folder}: no window for task {task!r}. Of {len(genes)} genes, {len(genome.coding)} make protein; of "
                f"their representative transcripts {sum(gene.tss_complete for gene in genes)} have a complete TSS, "
                f"{sum(bool(gene.introns) for gene in genes)} an intron, {sum(gene.start_complete for gene in genes)} "
                f"a complete start of translation. Windows dropped: {dropped}. Take {task!r} out of source.tasks in "
                "params.yaml, or give an annotation that has what it needs"
            )


def _columns(genome: Genome, found: Places, width: int, before: int, kinds: Sequence[str]) -> dict[str, Any]:
    """Fetch what was chosen. A window belongs to the locus of its anchor, which has `before` bases before it."""
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for contig, start, minus, kind, gene, side, _, masked in found.tolist():
        name, end = genome.names[contig], start + width
        row = (
            genome.fetch(contig, start, end, "-" if minus else "+"),
            name,
            start,
            end,
            "-" if minus else "+",
            split.SPLITS[side],
            "" if gene < 0 else genome.genes[gene].gene,
            genome.owners.group(name, end - 1 - before if minus else start + before),
            "" if kind < 0 else kinds[kind],
            masked,
        )
        for column, value in zip(_COLUMNS, row, strict=True):
            columns[column].append(value)
    return columns


def _corpus(genome: Genome, windows: Windows, seed: int) -> Iterator[str]:
    """Chunks of the plus strand that the train split, or no gene at all, owns; a share of them, by a stable hash."""
    width = windows.corpus_window
    for contig, name in enumerate(genome.names):
        starts = np.arange(0, genome.length(contig) - width + 1, width)
        free = contig not in genome.edges
        owned = starts if free else starts[genome.sides(contig, starts, width) == split.SPLITS.index("train")]
        for start in owned.tolist():
            if split.fraction(f"corpus:{name}:{start}", seed) < windows.corpus_share:
                chunk = genome.fetch(contig, start, start + width)
                if n_share(chunk) <= windows.max_n_share:
                    yield chunk
